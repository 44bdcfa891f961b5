"""[webhooks], and ``paytone webhooks``: what an operator says and sees."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from engine.config import parse
from engine.errors import ConfigError
from engine.ledger import Ledger
from engine.net.egress import Egress

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class TestSettings:
    def test_defaults(self) -> None:
        webhooks = parse("").webhooks
        assert (webhooks.allow, webhooks.give_up_s, webhooks.timeout_s, webhooks.ca) == ((), 86_400.0, 10.0, "")

    def test_example_file_has_every_key(self) -> None:
        text = (Path(__file__).parents[3] / "examples" / "paytone.toml").read_text()
        assert set(parse(text).webhooks.model_fields_set) == set(type(parse("").webhooks).model_fields)

    @pytest.mark.parametrize("entry", ["10.0.0.0/8", "10.0.0.1/8", "::1", "fd00::/8", "shop.internal", "localhost"])
    def test_networks_and_hosts_may_be_allowed(self, entry: str) -> None:
        Egress(parse(f'[webhooks]\nallow = ["{entry}"]').webhooks.allow)

    @pytest.mark.parametrize("entry", ["", "10.0.0.0/33", "10.0.0", "10.0.0.1-9", "*", "a b", "http://a/", "a:80"])
    def test_what_is_neither_is_a_mistake_with_its_line(self, entry: str) -> None:
        with pytest.raises(ConfigError, match=r":2: webhooks\.allow: .* neither a network"):
            parse(f'[webhooks]\nallow = ["{entry}"]')

    @pytest.mark.parametrize("wrong", ["give_up_s = 1", "give_up_s = 1e9", "timeout_s = 0", "timeout_s = 61", "x = 1"])
    def test_values_out_of_range_are_mistakes(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match=r"webhooks\."):
            parse(f"[webhooks]\n{wrong}")


class TestCommand:
    @pytest.fixture
    def config(self, tmp_path: Path) -> str:
        url = f"sqlite+aiosqlite:///{tmp_path / 'ledger.sqlite3'}"
        file = tmp_path / "paytone.toml"
        file.write_text(f'[ledger]\nurl = "{url}"\n')

        async def fill() -> None:
            ledger = await Ledger.open(url, clock=lambda: NOW)
            for number in range(1, 5):
                address = f"https://u:secret@app.example/hook{number}?token=secret"
                await ledger.webhooks.enqueue(f"s{number}", address, b'{"x":1}')
            for number in (1, 3):
                await ledger.webhooks.failed(number, "status 404", retry_at=None)
            await ledger.webhooks.delivered(4)
            await ledger.close()

        asyncio.run(fill())
        return str(file)

    def run(self, config: str, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["webhooks", "--config", config, *arguments])
        return result.exit_code, result.output

    def test_what_waits_is_listed(self, config: str) -> None:
        status, text = self.run(config)
        assert status == 0
        assert text.count("\n") == 1
        assert "id=2  session=s2  method=POST  url=https://app.example/hook2?  policy=status" in text
        assert "secret" not in text

    def test_dead_ones_are_listed_as_json(self, config: str) -> None:
        status, text = self.run(config, "--dead", "--json")
        rows = [json.loads(one) for one in text.splitlines()]
        assert status == 0
        assert [(row["id"], row["last_error"]) for row in rows] == [(3, "status 404"), (1, "status 404")]
        assert "secret" not in text

    def test_one_is_delivered_again(self, config: str) -> None:
        assert self.run(config, "--dead", "--retry", "3") == (0, "1 to be delivered again\n")
        assert [line.split()[0] for line in self.run(config)[1].splitlines()] == ["id=2", "id=3"]
        assert self.run(config, "--dead")[1].startswith("id=1 ")

    def test_all_are_delivered_again(self, config: str) -> None:
        assert self.run(config, "--dead", "--retry", "all") == (0, "2 to be delivered again\n")
        assert self.run(config, "--dead") == (0, "")
        assert self.run(config, "--dead", "--retry", "all") == (0, "0 to be delivered again\n")

    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            (["--retry", "1"], 2, "only dead webhooks"),
            (["--dead", "--retry", "one"], 2, "no number"),
            (["--dead", "--retry", "2"], 1, "0 to be delivered again"),
            (["--dead", "--retry", "99"], 1, "0 to be delivered again"),
        ],
    )
    def test_what_cannot_be_delivered_again_is_said(
        self, config: str, arguments: list[str], status: int, said: str
    ) -> None:
        code, text = self.run(config, *arguments)
        assert (code, said in text) == (status, True)
