"""PJSIP as a party of a transfer: a process that calls, answers every call, and transfers, told by lines.

Lines in: ``call URI``, ``transfer CALL URI``, ``replace CALL OTHER`` (attended). Events out, one JSON object a line:
``ready`` with the port, ``state`` of a call, ``transfer`` with the status that the other party reported.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
WAIT_S = 20.0

__all__ = ("HOST", "TransferPeer")


@dataclass
class TransferPeer:
    """The test's end of it. ``uri`` is where it is called."""

    uri: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> TransferPeer:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.interop.transfer_peer",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._reader = asyncio.create_task(self._read())
        ready = await self.wait(lambda event: event["event"] == "ready")
        self.uri = f"sip:peer@{HOST}:{ready['port']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reader is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), WAIT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader

    async def say(self, line: str) -> None:
        """Give it a line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an event, also one that came before, and return it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def wait_state(self, call: int, state: str) -> None:
        """Wait until a call is where it shall be."""
        await self.wait(lambda event: event.get("call") == call and event.get("state") == state)

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            self._changed.set()


def main() -> None:
    """Run the peer until its input ends."""
    import pjsua2 as pj

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # PJSIP writes its log to standard output

    def emit(**event: object) -> None:
        out.write(json.dumps(event) + "\n")

    states = {pj.PJSIP_INV_STATE_CONFIRMED: "confirmed", pj.PJSIP_INV_STATE_DISCONNECTED: "disconnected"}
    calls: list[Any] = []
    ringing: list[Any] = []
    parameters: list[Any] = []  # kept: PJSIP reads them later than it is given them

    def with_status(status: int) -> Any:
        parameters.append(pj.CallOpParam(True))
        parameters[-1].statusCode = status
        return parameters[-1]

    class Call(pj.Call):  # type: ignore[misc]
        def __init__(self, account: Any, call_id: int = pj.PJSUA_INVALID_ID) -> None:
            super().__init__(account, call_id)
            calls.append(self)
            self.number = len(calls)

        def onCallState(self, prm: Any) -> None:  # noqa: N802
            emit(event="state", call=self.number, state=states.get(self.getInfo().state, ""))

        def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
            emit(event="transfer", call=self.number, status=int(prm.statusCode), final=bool(prm.finalNotify))

        def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
            prm.newCall = Call(account)

        def onCallReplaceRequest(self, prm: Any) -> None:  # noqa: N802
            emit(event="replaced", call=self.number)

        def onCallReplaced(self, prm: Any) -> None:  # noqa: N802
            Call(account, prm.newCallId)

    class Account(pj.Account):  # type: ignore[misc]
        def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
            ringing.append(Call(self, prm.callId))

    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = HOST
    transport_id = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    address = str(endpoint.transportGetInfo(transport_id).localName)
    account = Account()
    account_config = pj.AccountConfig()
    account_config.idUri = f"sip:peer@{address}"
    account.create(account_config)
    emit(event="ready", port=int(address.rsplit(":", 1)[1]))
    pending = b""
    while True:
        endpoint.libHandleEvents(10)
        while ringing:
            ringing.pop().answer(with_status(200))
        if not select.select([0], [], [], 0)[0]:
            continue
        data = os.read(0, 4096)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            match line.decode().split():
                case ["call", uri]:
                    Call(account).makeCall(uri, with_status(0))
                case ["transfer", number, uri]:
                    calls[int(number) - 1].xfer(uri, with_status(0))
                case ["replace", number, other]:
                    calls[int(number) - 1].xferReplaces(calls[int(other) - 1], with_status(0))
    endpoint.hangupAllCalls()
    calls.clear()
    account.shutdown()
    endpoint.libDestroy()


if __name__ == "__main__":
    main()
