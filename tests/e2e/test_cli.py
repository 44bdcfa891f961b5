"""The ``paytone`` command as a person uses it: help, errors with remedies, the softphone, and Ctrl-C that drains."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import app
from tests.support.caller import Script, expiry, pay
from tests.support.engine import DEFAULT_TOML, running_engine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
runner = CliRunner()


def test_help_names_every_command() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("serve", "demo", "call", "dial", "doctor", "sandbox", "payments", "detect", "bench", "version"):
        assert command in result.output


def test_version_is_printed() -> None:
    assert runner.invoke(app, ["version"]).output.startswith("paytone ")


def test_a_wrong_configuration_ends_with_status_2_the_line_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "paytone.toml"
    path.write_text('[sip]\nlisten = "nowhere"\n')
    result = runner.invoke(app, ["serve", "--config", str(path)])
    assert result.exit_code == 2
    assert f"{path}:2: sip.listen:" in result.output
    assert "remedy:" in result.output


def test_a_form_that_cannot_be_taken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "paytone.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite+aiosqlite:///{tmp_path}/l.sqlite3"\n[sip]\nlisten = "127.0.0.1:0"\n'
        f'[connector.s]\ntype = "sandbox"\ndatabase = "{tmp_path}/s.sqlite3"\n'
        '[form.gift]\namount = "10.001"\ncurrency = "usd"\nconnector = "s"\n'
    )
    result = _run("serve", "--config", str(path))
    assert result[0] == 2
    assert "form.gift.amount" in result[1]


def test_doctor_finds_a_taken_port_and_says_the_remedy(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        path = tmp_path / "paytone.toml"
        path.write_text(
            f'[sip]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n'
            f'[ledger]\nurl = "sqlite+aiosqlite:///{tmp_path}/l.sqlite3"\n[prompts]\ncache = "{tmp_path}/p"\n'
        )
        status, output = _run("doctor", "--config", str(path))
    assert status == 1
    assert "bad   SIP port" in output
    assert "remedy: stop the other program" in output


def _run(*arguments: str) -> tuple[int, str]:
    """Run the command in a process of its own: serving and doctor change the logging and the limits of theirs."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.asyncio
async def test_a_stop_in_the_middle_of_a_call_lets_it_pay_first(tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML + '\n[log]\nlevel = "debug"\n', directory=tmp_path) as engine:
        calling = asyncio.ensure_future(pay(engine, Script.good()))
        await engine.wait_for("step=expiration-date")
        engine.process.send_signal(signal.SIGINT)
        call = await calling
        assert call.result == "success", engine.log
        assert await asyncio.wait_for(engine.process.wait(), 30) == 0
        assert "draining 1 call" in engine.log


@pytest.mark.asyncio
async def test_the_softphone_command_pays_with_typed_keys(tmp_path: Path) -> None:
    async with running_engine(DEFAULT_TOML + '\n[log]\nlevel = "debug"\n', directory=tmp_path) as engine:
        phone = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine",
            "call",
            engine.uri(),
            "--record",
            str(tmp_path / "heard.wav"),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert phone.stdin is not None
        assert phone.stdout is not None
        for step, keys in (
            ("payment-card-number", "4242424242424242#"),
            ("expiration-date", expiry()),
            ("security-code", "123"),
            ("postal-code", "94105#"),
        ):
            await engine.wait_for(f"step={step}")
            phone.stdin.write(f"{keys}\n".encode())
            await phone.stdin.drain()
        output = await asyncio.wait_for(phone.stdout.read(), 60)
        assert await phone.wait() == 0
        assert b"the call is over" in output
        assert b"4242" not in output
        assert [row["outcome"] for row in engine.sandbox_transactions()] == ["succeeded"]
    assert (tmp_path / "heard.wav").stat().st_size > 80_000
