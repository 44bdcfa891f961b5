"""Fuzz RELAY: any text is a frame of a client, any bytes what happens to its session.

Up to the first zero byte, each byte is something that happens; what follows is the text of frames. What must hold: a
text is read or refused, and nothing raises; what is sent is JSON-RPC; events are sent in order, each again on the next
connection until it was acknowledged and then never more; none is sent between a request and its answer; nothing is sent
while there is no connection; no frame shows the token.

Runs by ``tests/fuzz/drive.py`` or under atheris.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.dialects.relay.frames import Malformed, Request, Response, parse, request_text, result_text
from engine.dialects.relay.session import (
    MAX_CONTEXTS,
    MAX_EVENTS,
    Ask,
    Close,
    ConnectRequest,
    Credentials,
    Refusal,
    Send,
    SessionMachine,
    read_connect,
)

__all__ = ("SEEDS", "Case", "one_input")

TOKEN = "PT7b1c-secret-of-the-project"
CREDENTIALS = Credentials("project", TOKEN)
RESTORE_S = 100.0
CONNECT = (
    '{"jsonrpc":"2.0","id":"a","method":"signalwire.connect","params":{"version":{"major":2},"event_acks":true,'
    '"authentication":{"project":"project","token":"' + TOKEN + '"},"contexts":["default"],"protocol":"p"}}'
)
SEEDS = (
    b"\x01\x40\x41\x50\x60\x08\x40\x30\x41\x91\x41\x70\x51\0" + CONNECT.encode(),
    b"\x08\x40\x40\x52\x60\x01\x22\x90\0"
    b'{"jsonrpc":"2.0","id":1,"method":"calling.play","params":{"call_id":"c","play":[{"type":"tts"}]}}',
    b'\x01\x20\x40\x80\x7f\x7f\x7f\x7f\x01\0{"jsonrpc":"2.0","id":"ping-1","result":{}}',
    b'\x01\x20\x20\0{"jsonrpc":"2.0","id":"x","method":"signalwire.receive","params":{"contexts":["a","b"]}}',
    b'\x01\x20\0[{"jsonrpc":"2.0","id":null,"error":{"code":-1}}]',
    b'\x01\x20\x11\0{"jsonrpc":"2.0","id":1.5e3,"method":"m\\ud800","params":[[[[[]]]]]}',
)


class Case:
    """One session, and what it should do."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.machine = SessionMachine(
            protocol="p", authorization_state="s", project="project", space="space", restore_s=RESTORE_S
        )
        self.now = 1000.0
        self.told = 0
        "Events so far; each carries its number."
        self.waiting: list[int] = []
        "Those without acknowledgement."
        self.sent: list[int] = []
        "Those of this connection."
        self.acks = True
        self.connected = False
        self.asked: str | int | float | None = None

    def took(self) -> None:
        """Look at what is to be done."""
        machine = self.machine
        for output in machine.outputs():
            match output:
                case Ask():
                    assert self.asked is None
                    self.asked = output.id
                case Close():
                    assert self.connected
                    self._lost()
                    break
                case Send():
                    assert self.connected, "sent to nobody"
                    self._look_at(output.text)
        assert len(machine.contexts) <= MAX_CONTEXTS
        assert machine.n_events <= MAX_EVENTS
        if not machine.is_over:
            assert machine.n_events == len(self.waiting)
            assert machine.is_connected == self.connected
            if self.connected and self.asked is None and self.acks:
                assert set(self.waiting) <= set(self.sent), "an event waits though it may leave"

    def _look_at(self, text: str) -> None:
        assert TOKEN not in text
        frame = json.loads(text)
        assert frame["jsonrpc"] == "2.0"
        params = frame.get("params", {})
        if frame.get("method") == "signalwire.event" and params["event_type"] == "told":
            number = params["params"]["number"]
            assert self.asked is None, "an event before the answer"
            assert not self.sent or number > self.sent[-1], "out of order"
            assert number in self.waiting, "acknowledged, or told twice"
            self.sent.append(number)
            if not self.acks:
                self.waiting.remove(number)
        elif "method" in frame:
            assert frame["method"] in ("signalwire.event", "signalwire.ping", "signalwire.disconnect")

    def _lost(self) -> None:
        self.machine.lost(self.now)
        self.connected = False
        self.asked = None

    def happen(self, what: int) -> None:
        """Let something happen: the upper half says what, the lower one the variant."""
        kind, variant = what >> 4, what & 15
        self.now += (0.0, 0.1, 1.0, 9.0)[variant & 3]
        machine = self.machine
        match kind:
            case 0:
                self._connect(variant)
            case 1:
                wanted = read_connect(self.text, CREDENTIALS)
                assert isinstance(wanted, ConnectRequest | Refusal)
                assert TOKEN not in repr(wanted)
            case 2:
                self._receive(self.text)
            case 3:
                self._receive(request_text(what, "calling.answer", {"call_id": str(variant)}))
            case 4:
                if not machine.is_over:
                    self.told += 1
                    self.waiting.append(self.told)
                machine.tell("told", {"number": self.told}, self.now)
            case 5:
                self._acknowledge(variant)
            case 6:
                if self.connected:
                    self._lost()
            case 7:
                self.now += 3.0 * variant
                machine.handle_timer(self.now, self.now)
                due = machine.next_timer
                assert due is None or due >= self.now
            case 8:
                machine.leave(restart=bool(variant & 1))
            case 9:
                self._answer()
            case _:
                self._receive(result_text(f"ping-{variant}", {}))
        self.took()

    def _connect(self, variant: int) -> None:
        if self.machine.is_over:
            return
        self.acks = bool(variant & 1)
        self.sent.clear()
        self.asked = None
        self.connected = True
        names = ("default", "other")[: variant & 3]
        self.machine.connect(ConnectRequest(id=variant, contexts=names, event_acks=self.acks), self.now, self.now)

    def _answer(self) -> None:
        self.asked = None
        self.machine.answer({"code": "200", "message": "OK"})

    def _receive(self, text: str) -> None:
        if self.asked is not None:
            self._answer()
            self.took()
        before = self.machine.n_events
        frame = parse(text)
        self.machine.receive(text, self.now, self.now)
        if isinstance(frame, Response) and self.machine.n_events < before:
            self.waiting.remove(int(str(frame.id).removeprefix("event-")))

    def _acknowledge(self, variant: int) -> None:
        sent = [number for number in self.sent if number in self.waiting]
        number = (sent or [self.told + 1])[variant % max(1, len(sent))]
        self._receive(result_text(f"event-{number}", {}))
        assert not self.connected or number not in self.waiting


def one_input(data: bytes) -> None:
    """Take one input."""
    happenings, _, rest = data.partition(b"\0")
    text = rest.decode("utf-8", "surrogatepass" if len(rest) & 1 else "replace") if _is_text(rest) else ""
    frame = parse(text)
    assert isinstance(frame, Request | Response | Malformed)
    case = Case(text)
    for what in happenings[:400]:
        case.happen(what)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass" if len(data) & 1 else "replace")
    except UnicodeDecodeError:
        return False
    return True


if __name__ == "__main__":
    import atheris  # type: ignore[import-untyped,unused-ignore]

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
