"""``paytone prompts`` as a person uses it."""

from __future__ import annotations

import logging
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from prompts.assets import shipped_directory
from tests.support.speech import needs_espeak

runner = CliRunner()
SHIPPED = Path(str(shipped_directory("en-US")))


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command sets up the logging of its process, which here is everybody's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    path = tmp_path / "paytone.toml"
    path.write_text(f'[prompts]\ncache = "{tmp_path / "cache"}"\n')
    return ["--config", str(path)]


def test_what_is_shipped_is_there_without_rendering(config: list[str], tmp_path: Path) -> None:
    result = runner.invoke(app, ["prompts", "check", "en-US", *config])
    assert result.exit_code == 0, result.output
    assert "1 locale(s): every prompt is there" in result.output
    assert not (tmp_path / "cache").exists()


def test_check_ends_with_status_1_and_names_what_is_missing(config: list[str]) -> None:
    result = runner.invoke(app, ["prompts", "check", "de-DE", *config])
    assert result.exit_code == 1
    assert "de-DE  finish-key: not rendered" in result.output


def test_list_shows_what_is_there_and_what_is_not(config: list[str]) -> None:
    result = runner.invoke(app, ["prompts", "list", "en-US", "de-DE", *config])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) == 61
    assert sum(bool(re.search(r"-25\.\d +-\d+\.\d  shipped", line)) for line in lines) == 29
    assert sum(line.startswith("de-DE") and "-      -     -" in line for line in lines) == 30


def test_a_region_is_served_as_the_catalogue_says_and_named_once(config: list[str]) -> None:
    result = runner.invoke(app, ["prompts", "list", "en", "en-US", "en_us", *config])
    assert len(result.output.splitlines()) == 31


def test_texts_of_ones_own_are_checked(config: list[str], tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    path = tmp_path / "paytone.toml"
    path.write_text(path.read_text() + f'texts = "{texts}"\n')
    (texts / "en-US.toml").write_text('[texts]\nfinish-key = "Press the # key."\n')
    result = runner.invoke(app, ["prompts", "check", "en-US", *config])
    assert result.exit_code == 1
    assert "en-US  finish-key: text: '#' is a sign" in result.output
    assert "en-US  finish-key: not rendered" in result.output, "the shipped recording says another text"
    (texts / "en-US.toml").write_text('[texts]\nfinish-kee = "Press the pound key."\n')
    result = runner.invoke(app, ["prompts", "check", "en-US", *config])
    assert result.exit_code == 1
    assert "en-US.toml: texts.finish-kee is not a prompt" in result.output


@pytest.mark.parametrize("command", ["render", "list", "check"])
def test_a_language_without_texts_is_refused_with_those_there_are(config: list[str], command: str) -> None:
    result = runner.invoke(app, ["prompts", command, "sv-SE", *config])
    assert result.exit_code == 2
    assert "there are no texts for 'sv-SE'" in result.output
    assert "de-DE, en-AU" in result.output


def test_force_wants_a_directory(config: list[str]) -> None:
    result = runner.invoke(app, ["prompts", "render", "--force", *config])
    assert result.exit_code == 2
    assert "--force wants --directory" in result.output


def test_a_directory_is_checked_and_listed(config: list[str], tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "audio" / "en-US")
    arguments = ["--directory", str(tmp_path / "audio"), *config]
    assert runner.invoke(app, ["prompts", "check", "en-US", *arguments]).exit_code == 0
    (tmp_path / "audio" / "en-US" / "finish-key.ulaw").unlink()
    result = runner.invoke(app, ["prompts", "check", "en-US", *arguments])
    assert result.exit_code == 1
    assert "en-US  finish-key: not rendered" in result.output
    listed = runner.invoke(app, ["prompts", "list", "en-US", "--markdown", *arguments]).output
    assert "| en-US | finish-key | - | - | - | - | When you have finished, press the pound key. |" in listed


@needs_espeak
def test_a_locale_is_rendered_once_into_the_cache_and_then_has_no_fault(config: list[str], tmp_path: Path) -> None:
    result = runner.invoke(app, ["prompts", "render", "de-DE", *config])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["1 locale(s) are rendered"], "quiet when nobody watches"
    before = {path.name: path.stat().st_ino for path in (tmp_path / "cache").iterdir()}
    assert len(before) == 29
    assert runner.invoke(app, ["prompts", "check", "de-DE", *config]).exit_code == 0
    runner.invoke(app, ["prompts", "render", "de-DE", *config])
    assert {path.name: path.stat().st_ino for path in (tmp_path / "cache").iterdir()} == before


@needs_espeak
def test_a_locale_is_rendered_into_a_directory(config: list[str], tmp_path: Path) -> None:
    arguments = ["de-DE", "--directory", str(tmp_path / "audio"), *config]
    result = runner.invoke(app, ["prompts", "render", *arguments])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "audio" / "de-DE").glob("*.ulaw"))) == 29
    assert runner.invoke(app, ["prompts", "check", *arguments]).exit_code == 0
    assert not Path(str(shipped_directory("de-DE"))).exists()


@needs_espeak
def test_a_cache_that_cannot_be_written_is_an_error(config: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    result = runner.invoke(app, ["prompts", "render", "de-DE", *config])
    assert result.exit_code == 2
    assert "29 clips could not be written" in result.output


@needs_espeak
def test_a_terminal_is_shown_how_far_it_is(
    config: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        app(["prompts", "render", "de-DE", *config])
    shown = capfd.readouterr().err
    assert "rendering" in shown
    assert "100%" in shown
