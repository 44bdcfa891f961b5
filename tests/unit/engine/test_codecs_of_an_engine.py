"""An engine whose configuration asks for a codec that the machine lacks says so at start, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import service
from engine.config import Config
from engine.errors import ConfigError


@pytest.mark.asyncio
async def test_a_codec_that_is_missing_is_an_error_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "why_unavailable", lambda name: "libopus is missing" if name == "opus" else None)
    config = Config.model_validate(
        {"media": {"codecs": ["PCMU", "opus"]}, "ledger": {"url": f"sqlite+aiosqlite:///{tmp_path}/ledger.sqlite3"}}
    )
    engine = service.Engine(config)
    with pytest.raises(ConfigError, match="codecs: libopus is missing") as raised:
        await engine.start()
    assert "leave opus out" in raised.value.remedy
