"""The engine's side of a measurement without signalling: a media plane with legs, driven by lines (`worker`).

``open`` takes the callers' ports and returns the legs'; ``figures`` and ``digits`` tell what came of it. The digits are
random ones of a plan, never a person's.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.load.audio import LOCALE
from benchmarks.load.worker import raise_file_limit, serve
from engine.media import DigitReceived, Leg, MediaPlane
from engine.media.recorder import Recorder, Recording
from engine.rtp.srtp import SUITES, SrtpKeysPair
from prompts import assets
from prompts.catalog import Catalog
from prompts.keys import PromptKey

__all__ = ("Host", "main")

LOOPBACK = "127.0.0.1"
EVENT_PT = 101
PROMPT = PromptKey.CARD_NUMBER
SUMS = ("lost", "late", "duplicate", "missing_samples", "underruns", "resyncs", "send_failed", "event_packets_in")


class Host:
    """A media plane of its own and what its legs heard."""

    def __init__(self, threads: int) -> None:
        before = {thread.native_id for thread in threading.enumerate()}
        self._plane = MediaPlane(host=LOOPBACK, threads=threads)
        self._plane.start()
        self._media_threads = [thread.native_id for thread in threading.enumerate() if thread.native_id not in before]
        self._clip = assets.load(Catalog.load(None).resolve(LOCALE).texts)[PROMPT]
        self._legs: list[Leg] = []
        self._heard: dict[int, list[tuple[int, str]]] = {}
        self._recorder: Recorder | None = None
        self._recordings: list[Recording] = []

    def ready(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the ids of the media threads."""
        return {"media_threads": self._media_threads}

    def open(self, request: dict[str, Any]) -> dict[str, Any]:
        """Open one leg for each of ``remote`` (ports), with a prompt playing unless ``prompt`` is false.

        ``record`` is a directory: each leg is recorded into it. ``bridge`` lets each two legs hear each other, the
        first of them behind its mask.
        ``srtp`` is a suite's name: then the answer holds the keys, which are made up for the run.
        """
        if request.get("record"):
            self._recorder = Recorder(request["record"])
            self._recorder.start()
        suite: str | None = request.get("srtp")
        octets = SUITES[suite].master_octets if suite is not None else 0
        keys: list[tuple[str, str]] = []
        for port in request["remote"]:
            first = self._legs[-1] if request.get("bridge") and len(self._legs) % 2 else None
            leg = self._plane.open_leg(beside=first)
            self._heard[leg.id] = []
            self._legs.append(leg)
            local, remote = secrets.token_bytes(octets), secrets.token_bytes(octets)
            keys.append((local.hex(), remote.hex()))
            leg.configure(
                remote=(LOOPBACK, port),
                codec="PCMU",
                send_pt=0,
                receive_pts={0: "PCMU", 13: "CN"},
                event_receive_pt=EVENT_PT,
                event_send_pt=EVENT_PT,
                srtp=SrtpKeysPair(suite, local, remote) if suite is not None else None,
            )
            if self._recorder is not None:
                recording = self._recorder.open(f"{leg.id}.wav")
                self._recordings.append(recording)
                leg.record(recording)
            if first is not None:
                first.mask_line()
                first.mask(True)
                first.bridge(leg)
            if request.get("prompt", True):
                leg.play([self._clip], token=leg.id, interruptible=False, loop=True)
        srtp = {"suite": suite, "keys": keys} if suite is not None else None
        return {"ports": [leg.rtp_port for leg in self._legs], "srtp": srtp}

    def figures(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the plane's counters, and sums over the legs."""
        self.drain()
        plane = self._plane.statistics()
        legs = [leg.statistics() for leg in self._legs]
        dropped: dict[str, int] = {}
        for leg in legs:
            for cause, n in leg.discarded_by_cause.items():
                dropped[cause] = dropped.get(cause, 0) + n
        return {
            "recording_lost": sum(recording.statistics().lost for recording in self._recordings),
            "ticks": plane.ticks,
            "late_ticks": plane.late_ticks,
            "skipped_ticks": plane.skipped_ticks,
            "max_late_us": plane.max_late_us,
            "events_lost": plane.events_lost,
            "commands_lost": plane.commands_lost,
            "packets_in": plane.packets_in,
            "packets_out": plane.packets_out,
            "dropped": dropped,
            "jitter_ms": max((leg.jitter_ms for leg in legs), default=0.0),
            **{name: sum(getattr(leg, name) for leg in legs) for name in SUMS},
        }

    def digits(self, request: dict[str, Any]) -> dict[str, Any]:
        """Write what each leg heard to the file ``path``: a list of ``[code, source]`` for each leg, in their order."""
        self.drain()
        heard = [self._heard[leg.id] for leg in self._legs]
        Path(request["path"]).write_text(json.dumps(heard))
        return {"heard": sum(map(len, heard))}

    def drain(self) -> None:
        """Take the events that wait."""
        for event in self._plane.drain_events():
            if isinstance(event, DigitReceived):
                self._heard[event.leg_id].append((event.code, event.source.value))

    def run(self) -> None:
        """Serve until standard input ends."""
        commands = {"ready": self.ready, "open": self.open, "figures": self.figures, "digits": self.digits}
        try:
            serve(commands, readers={self._plane.event_fd(): self.drain})
        finally:
            self._plane.stop()
            if self._recorder is not None:
                for recording in self._recordings:
                    recording.close()
                self._recorder.stop()


def main() -> None:
    """Serve on standard input; the only argument is the number of media threads."""
    raise_file_limit()
    Host(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()
