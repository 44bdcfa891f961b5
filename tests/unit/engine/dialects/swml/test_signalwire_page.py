"""docs/signalwire.md and the examples' configuration can be used as printed, and name all that expressions can do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.api.certificates import make_certificate
from engine.config import RelayApp, SwmlApp, load
from engine.config.file import parse
from engine.dialects.swml import variables
from engine.dialects.swml.expressions import MAX_CHARS, MAX_LIST, MAX_STEPS, MAX_TEXT, functions

ROOT = Path(__file__).parents[5]
PAGE = (ROOT / "docs" / "signalwire.md").read_text(encoding="utf-8")
CONFIGURATIONS = re.findall(r"^( *)```toml\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the page says before the engine is started."""
    monkeypatch.chdir(tmp_path)
    make_certificate(tmp_path / "certificates")


@pytest.mark.usefixtures("certificates")
def test_the_page_has_a_configuration_with_both_kinds_of_application() -> None:
    text = CONFIGURATIONS[0][1].replace("\n   ", "\n")
    config = parse(text)
    assert isinstance(config.apps["shop"], RelayApp)
    assert isinstance(config.apps["donate"], SwmlApp)
    assert config.signalwire.token_env
    assert config.api.is_on


@pytest.mark.usefixtures("certificates")
def test_its_fallback_is_one_that_can_be_configured() -> None:
    whole = CONFIGURATIONS[0][1].replace("\n   ", "\n").partition("[app.shop]")[0]
    closed = '[app.closed]\ndialect = "swml"\ndocument = "{}"\n'
    app = parse(whole + closed + CONFIGURATIONS[1][1]).apps["shop"]
    assert isinstance(app, RelayApp)
    assert (app.fallback_app, app.answer_timeout_s) == ("closed", 30.0)


@pytest.mark.usefixtures("certificates")
def test_the_examples_configuration_can_be_loaded() -> None:
    config = load(ROOT / "examples" / "signalwire" / "paytone.toml")
    assert {route.app for route in config.routes} == {"shop", "donate", "agent"}


@pytest.mark.parametrize("name", [*functions.FUNCTIONS, *functions._TEXT_METHODS, *functions._LIST_METHODS])
def test_the_page_names_each_function_and_method(name: str) -> None:
    section = PAGE.partition("### Variables and expressions")[2].partition("## RELAY")[0]
    assert re.search(rf"\b{name.removeprefix('Math.')}\b", section)


@pytest.mark.parametrize("limit", [MAX_CHARS, MAX_STEPS, MAX_TEXT, MAX_LIST, variables.MAX_VALUES])
def test_the_page_tells_the_limits(limit: int) -> None:
    assert f"{limit:,}" in PAGE
