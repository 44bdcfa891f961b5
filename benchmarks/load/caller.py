"""The generator's process: sockets, sound and plan for `Generator`, driven by lines (`worker`).

``bind`` opens the callers' ports, ``run`` begins to call, ``finish`` waits for the end and tells what was counted.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

from benchmarks.load._generator import Generator
from benchmarks.load.audio import CODES, background, key_clips
from benchmarks.load.plan import draw_plan
from benchmarks.load.worker import raise_file_limit, serve
from engine.rtp._srtp import SrtpCore
from engine.rtp.srtp import SrtpKeysPair

__all__ = ("CallerProcess", "bind_pair", "main")

LOOPBACK = "127.0.0.1"
RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes: the answers of a thousand legs for more than 100 ms."""
FIRST_PORT, LAST_PORT = 40000, 60000
CYCLE_MS = 20
ENDS = 3


def bind_pair(host: str = LOOPBACK) -> tuple[socket.socket, socket.socket]:
    """Return sockets on an even port and the one after it (RFC 3550 §11); raise OSError when none are free."""
    for port in range(FIRST_PORT, LAST_PORT, 2):
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            rtp.bind((host, port))
            rtcp.bind((host, port + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            continue
        for each in (rtp, rtcp):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        return rtp, rtcp
    raise OSError(f"no pair of ports is free on {host} in {FIRST_PORT}-{LAST_PORT}")


class CallerProcess:
    """One generator."""

    def __init__(self) -> None:
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._generator: Generator | None = None
        self._thread: threading.Thread | None = None

    def bind(self, request: dict[str, Any]) -> dict[str, Any]:
        """Bind ``sockets`` pairs; return their RTP ports. Caller i uses that of its phase."""
        raise_file_limit()
        self._pairs = [bind_pair() for _ in range(request["sockets"])]
        return {"ports": [rtp.getsockname()[1] for rtp, _ in self._pairs]}

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make sound and plan: ``ports`` of the legs, ``seed``, ``mode``, ``begin`` and ``end`` of keys (cycles),
        ``presses_per_s``, ``on_ms``, ``off_ms``, ``phases``; ``srtp``: suite and the legs' keys, or null."""
        ports, seed = request["ports"], request["seed"]
        on_ms, off_ms = request.get("on_ms", 80), request.get("off_ms", 80)
        clips = key_clips(seed, on_ms=on_ms)
        event_frames = max(1, on_ms // CYCLE_MS)
        self._generator = Generator(
            [rtp.fileno() for rtp, _ in self._pairs],
            [rtcp.fileno() for _, rtcp in self._pairs],
            ports,
            background=background(seed),
            clips=clips.audio,
            clip_frames=clips.frames,
            event_frames=event_frames,
            phases=request["phases"],
        )
        mode = request["mode"]
        plan = draw_plan(
            seed,
            callers=len(ports),
            begin=request["begin"],
            end=request["end"],
            presses_per_s=request["presses_per_s"] if mode != "none" else 0.0,
            spacing=max(clips.frames, event_frames + ENDS - 1) + -(-off_ms // CYCLE_MS),
            variants=clips.variants,
        )
        if request["srtp"] is not None:
            suite = request["srtp"]["suite"]
            # The legs' keys, local and remote: ours the other way round.
            pairs = [(bytes.fromhex(local), bytes.fromhex(remote)) for local, remote in request["srtp"]["keys"]]
            self._generator.secure([SrtpCore(SrtpKeysPair(suite, remote, local)) for local, remote in pairs])
        self._generator.plan(mode, plan.first, plan.cycle, plan.clip)
        return {"keys": [plan.codes(caller) for caller in range(len(ports))], "codes": CODES}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin to call, for ``cycles`` of 20 ms."""
        assert self._generator is not None
        self._thread = threading.Thread(target=self._generator.run, args=(request["cycles"],), daemon=True)
        self._thread.start()
        return {}

    def finish(self, _: dict[str, Any]) -> dict[str, Any]:
        """Wait for the end; return what was counted."""
        assert self._generator is not None
        assert self._thread is not None
        self._thread.join()
        return self._generator.totals()

    def serve(self) -> None:
        """Serve until standard input ends; then stop calling."""
        try:
            serve({"bind": self.bind, "prepare": self.prepare, "run": self.run, "finish": self.finish})
        finally:
            if self._generator is not None:
                self._generator.stop()
            if self._thread is not None:
                self._thread.join()
            for pair in self._pairs:
                for each in pair:
                    each.close()


def main() -> None:
    """Serve on standard input."""
    CallerProcess().serve()


if __name__ == "__main__":
    main()
