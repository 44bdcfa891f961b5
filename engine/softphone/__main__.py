"""The softphone's process: ``python -m engine.softphone [--backend auto|pjsua|native]``.

Commands come on standard input and events go to standard output (`engine.softphone.protocol`). It ends with ``quit``
or with the end of its input, so it never outlives the program that started it.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Sequence

from engine.errors import SoftphoneError
from engine.softphone.backend import Backend, BackendName, Emit, create_backend
from engine.softphone.protocol import MAX_LINE_BYTES, Event, Failure, Quit, decode_command, encode
from sip.crypto_attribute import SrtpPolicy
from sip.payload_types import CODECS

__all__ = ("main",)

POLL_S = 0.01
"How long the loop may sit in the SIP stack before it looks for a command: half an RTP packet."


class LineReader:
    """Complete lines out of a file descriptor that is read only when it has something."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self.at_end = False

    def lines(self) -> list[bytes]:
        """Return the lines that have arrived; never waits. A line over the limit is an error of the writer's."""
        if self.at_end or not select.select([self._fd], [], [], 0)[0]:
            return []
        chunk = os.read(self._fd, MAX_LINE_BYTES)
        self.at_end = not chunk
        self._buffer += chunk
        if len(self._buffer) > MAX_LINE_BYTES and b"\n" not in self._buffer:
            self._buffer.clear()
            raise SoftphoneError(f"a line is at most {MAX_LINE_BYTES} bytes")
        *complete, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        return [bytes(line) for line in complete if line.strip()]


def take_stdout() -> int:
    """Return a descriptor for the events and point descriptor 1 at nothing.

    PJSIP logs to descriptor 1 before it can be told not to.
    """
    sys.stdout.flush()
    events_fd = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    return events_fd


def write_event(fd: int, event: Event) -> None:
    """Write one event line; a reader that has gone away ends the loop through its closed input."""
    line = memoryview(encode(event))
    while line:
        try:
            line = line[os.write(fd, line) :]
        except BrokenPipeError:
            return


def serve(backend: Backend, reader: LineReader, emit: Emit) -> None:
    """Run commands and the stack in turn until ``quit`` or the end of input."""
    while not reader.at_end:
        try:
            lines = reader.lines()
        except SoftphoneError as error:
            emit(Failure(message=str(error)))
            continue
        for line in lines:
            name = ""
            try:
                command = decode_command(line)
                name = command.NAME
                if isinstance(command, Quit):
                    return
                backend.execute(command)
            except SoftphoneError as error:
                emit(Failure(message=str(error), command=name))
        backend.poll(POLL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a softphone; return the process's exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.softphone", description="A softphone driven by lines of JSON."
    )
    parser.add_argument("--backend", choices=tuple(BackendName), default=BackendName.AUTO, help="SIP stack to use")
    parser.add_argument("--host", default="127.0.0.1", help="local address for SIP and RTP (default: %(default)s)")
    parser.add_argument("--sip-port", type=int, default=0, help="local UDP port, 0 for any free one")
    parser.add_argument("--audio", action="store_true", help="use microphone and loudspeaker (needs PyAudio)")
    parser.add_argument("--srtp", choices=tuple(SrtpPolicy), default=SrtpPolicy.OFF, help="encrypted media (SDES)")
    parser.add_argument("--codec", choices=CODECS, default="", help="offer and take this codec only")
    options = parser.parse_args(arguments)
    # The terminal's Ctrl-C goes to the whole group; the parent says when a call ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    events_fd = take_stdout()

    def emit(event: Event) -> None:
        write_event(events_fd, event)

    try:
        backend = create_backend(
            BackendName(options.backend),
            emit,
            host=options.host,
            sip_port=options.sip_port,
            audio=options.audio,
            srtp=SrtpPolicy(options.srtp),
            codec=options.codec,
        )
        try:
            backend.start()
            serve(backend, LineReader(0), emit)
        finally:
            backend.close()
    except SoftphoneError as error:
        emit(Failure(message=str(error)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
