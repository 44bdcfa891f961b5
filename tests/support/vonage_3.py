"""The vendor's library of the third generation in a process of its own: two generations share no environment.

``OldSdk`` starts this file as a program with 3.18 before everything else on its path (``make interop`` puts it into
``vonage3`` of the virtual environment), and gives it one JSON object a line: ``build`` makes an NCCO with ``Ncco``,
``voice`` calls a method of ``Client.voice``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import warnings
from base64 import b64encode
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ("DIRECTORY", "OldSdk", "OldSdkError")

DIRECTORY = Path(sys.prefix) / "vonage3"
"Where the third generation is."
ANSWER_S = 30.0
MAX_LINE = 1 << 20


class OldSdkError(Exception):
    """The library raised an error: its class, and its text."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class OldSdk:
    """The library, for tests: ``async with OldSdk(...) as sdk``."""

    def __init__(self, *, host: str = "", application_id: str = "", private_key: str = "", ca: Path | None = None):
        """``host`` is the API's, with its port; ``ca`` what its certificate is checked with."""
        self._options = {"host": host, "application_id": application_id, "private_key": private_key}
        self._environment = {**os.environ, "PYTHONPATH": str(DIRECTORY)}
        if ca is not None:
            self._environment["REQUESTS_CA_BUNDLE"] = str(ca)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> OldSdk:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # not this folder: its vonage.py is another one
            __file__,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
        )
        version = await self._ask(self._options)
        assert version.startswith("3."), version
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def build(self, *actions: tuple[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return an NCCO of actions, each the name of its class in ``Ncco`` and its arguments."""
        built: list[dict[str, Any]] = await self._ask({"do": "build", "actions": actions})
        return built

    async def voice(self, method: str, *arguments: Any) -> Any:
        """Call a method of ``Client.voice``; bytes come in base64. Raise `OldSdkError` when it raises."""
        return await self._ask({"do": "voice", "method": method, "arguments": arguments})

    async def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(ANSWER_S):
            line = await self._process.stdout.readline()
        answer = json.loads(line)
        if "error" in answer:
            raise OldSdkError(answer["error"], answer["text"])
        return answer["value"]


def _serve() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # of Ncco.Pay, which is why we are here
    vonage = import_module("vonage")
    ncco = import_module("vonage.ncco_builder.ncco").Ncco
    options = json.loads(sys.stdin.readline())
    client: Any = None
    if options["application_id"]:
        client = vonage.Client(application_id=options["application_id"], private_key=options["private_key"])
        client.api_host(options["host"])
    _say(value=vonage.__version__)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question["do"] == "build":
                actions = [getattr(ncco, name)(**arguments) for name, arguments in question["actions"]]
                _say(value=ncco.build_ncco(actions=actions))
            else:
                _say(value=getattr(client.voice, question["method"])(*question["arguments"]))
        except Exception as error:
            _say(error=type(error).__name__, text=str(error))


def _say(**members: Any) -> None:
    print(json.dumps(members, default=lambda data: b64encode(data).decode()), flush=True)


if __name__ == "__main__":
    _serve()
