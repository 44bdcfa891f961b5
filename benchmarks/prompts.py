"""From asking for a prompt to its first packet on the wire: ``python -m benchmarks.prompts``.

An engine's own parts on loopback: a ``PromptStore`` on its worker processes, a media plane with its clock thread, one
leg in PCMU that plays to a UDP socket. The time runs from the moment the text is asked for, at a random place within
the leg's tick of 20 ms, to the arrival of the packet with the clip's first 20 ms at the socket, read by a thread of its
own. Workers are started, and have spoken once, before anything is measured.

``cached``: a default prompt in memory. ``on disk``: a text that an earlier process rendered. ``four digits``: the
prompt that reads back what was keyed, rendered on each call. ``sentence``: a new sentence of some 100 characters.
``long text``: a new text of five such sentences, played as it is rendered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from benchmarks.load.proc import machine
from dsp.g711 import ULAW_SILENCE
from engine.media import Leg, MediaPlane
from prompts.assets import fixed_keys
from prompts.clip import Clip
from prompts.keys import PromptKey
from prompts.store import PromptStore

__all__ = ("Figures", "main", "measure")

FRAME = 160
TICK_MS = 20.0
NEW_SENTENCE_MS = 150.0
RTP_HEADER = 12
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Times of one kind of prompt in ms, over all locales."""

    kind: str
    samples: int
    median_ms: float
    p95_ms: float
    max_ms: float
    slowest_locale: str
    slowest_locale_median_ms: float


class Ear:
    """The far end: when did which 20 ms arrive?"""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._lock = threading.Condition()
        self._wanted = b""
        self._at = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where to send."""
        address: tuple[str, int] = self._socket.getsockname()
        return address

    def expect(self, frame: bytes) -> None:
        """Wait from now on for this frame."""
        with self._lock:
            self._wanted, self._at = frame, 0.0

    def arrival(self) -> float:
        """Return when it came (monotonic, s); raise TimeoutError when it does not."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._at > 0, PATIENCE_S):
                raise TimeoutError("the prompt was not heard")
            return self._at

    def close(self) -> None:
        """End the thread: an empty datagram wakes it."""
        self._ended = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ended:
            packet = self._socket.recv(2048)
            now = time.monotonic()
            with self._lock:
                if self._wanted and not self._at and packet[RTP_HEADER:] == self._wanted:
                    self._at = now
                    self._lock.notify_all()


def _first_heard(clip: Clip) -> int:
    """Return the first frame of a clip that is not mere silence, which packets between prompts hold too."""
    for number in range(len(clip.pcmu) // FRAME):
        if set(clip.pcmu[number * FRAME : (number + 1) * FRAME]) - {ULAW_SILENCE, ULAW_SILENCE & 0x7F}:
            return number
    raise ValueError("a clip without sound")


async def _time_ms(leg: Leg, ear: Ear, get: Callable[[], Awaitable[Clip]], token: int) -> float:
    """Ask for a prompt, play it, and return the time to its first packet; stop it again."""
    await asyncio.sleep(random.uniform(0.05, 0.05 + TICK_MS / 1000))
    began = time.monotonic()
    clip = await get()
    skipped = _first_heard(clip)
    ear.expect(clip.pcmu[skipped * FRAME : (skipped + 1) * FRAME])
    leg.play([clip], token=token, interruptible=False)
    arrived = await asyncio.to_thread(ear.arrival)
    leg.stop_playing()
    return (arrived - began) * 1000 - skipped * TICK_MS


async def measure(directory: Path, *, rounds: int, workers: int) -> list[Figures]:
    """Measure every kind in every locale ``rounds`` times; the plane and the store are the engine's own."""
    store = PromptStore.open(directory, workers=workers)
    plane = MediaPlane(threads=1)
    plane.start()
    asyncio.get_running_loop().add_reader(plane.event_fd(), plane.drain_events)
    ear = Ear()
    leg = plane.open_leg()
    leg.configure(
        remote=ear.address, codec="PCMU", send_pt=0, receive_pts={0: "PCMU"}, event_receive_pt=None, event_send_pt=None
    )
    times: dict[tuple[str, str], list[float]] = {}
    token = 0
    try:
        await store.start()
        await asyncio.gather(*(store.prepare(locale) for locale in store.catalog.locales))
        for locale in store.catalog.locales:
            for number in range(rounds):
                for kind, get in _kinds(store, directory, locale, number).items():
                    token += 1
                    times.setdefault((kind, locale), []).append(await _time_ms(leg, ear, get, token))
    finally:
        leg.close()
        await asyncio.sleep(2 * TICK_MS / 1000)
        asyncio.get_running_loop().remove_reader(plane.event_fd())
        plane.stop()
        await store.close()
        ear.close()
    return _figures(times)


def _kinds(store: PromptStore, directory: Path, locale: str, number: int) -> dict[str, Callable[[], Awaitable[Clip]]]:
    texts = store.catalog.resolve(locale).texts
    keys = list(fixed_keys())
    serial = " ".join(texts.digits[int(digit)] for digit in f"{number:03}")
    base = texts.texts[PromptKey.EXPIRATION_DATE]
    long_text = " ".join(f"{serial} {piece}: {base}" for piece in texts.digits[:5])

    async def on_disk() -> Clip:
        # A store of its own has nothing in memory, and finds on disk what the first one left there.
        other = PromptStore(directory, store.synthesizer, catalog=store.catalog, reader=_NoReader())
        clip = await other.cached(keys[number % len(keys)], locale)
        assert clip is not None
        return clip

    async def long() -> Clip:
        stream = store.stream(long_text, locale=locale)
        try:
            return await anext(stream)
        finally:
            await stream.aclose()

    kinds: dict[str, Callable[[], Awaitable[Clip]]] = {
        "cached": lambda: store.prompt(keys[number % len(keys)], locale),
        "on disk": on_disk,
        "four digits": lambda: store.prompt(PromptKey.CONFIRM_LAST_FOUR, locale, digits=f"{number:04}"),
        "sentence": lambda: store.speech(f"{serial}: {base}", locale=locale),
        "long text": long,
    }
    # What is shipped is not in the cache.
    return {kind: get for kind, get in kinds.items() if kind != "on disk" or not store.shipped(keys[0], locale)}


class _NoReader:
    """Stands in where no file is read."""

    async def read(self, path: Path) -> Clip:
        raise AssertionError(path)

    async def close(self) -> None:
        pass


def _figures(times: dict[tuple[str, str], list[float]]) -> list[Figures]:
    found = []
    for kind in dict.fromkeys(kind for kind, _ in times):
        by_locale = {locale: statistics.median(values) for (name, locale), values in times.items() if name == kind}
        values = sorted(value for (name, _), values in times.items() if name == kind for value in values)
        slowest = max(by_locale, key=lambda locale: by_locale[locale])
        found.append(
            Figures(
                kind=kind,
                samples=len(values),
                median_ms=statistics.median(values),
                p95_ms=values[min(len(values) - 1, int(len(values) * 0.95))],
                max_ms=values[-1],
                slowest_locale=slowest,
                slowest_locale_median_ms=by_locale[slowest],
            )
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; return 0 only when the medians hold what is promised."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prompts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="of each kind in each locale (default 20)")
    parser.add_argument("--workers", type=int, default=2, help="processes that speak (default 2)")
    parser.add_argument("--json", action="store_true", help="one JSON object a kind")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as directory:
        found = uvloop.run(measure(Path(directory), rounds=options.rounds, workers=options.workers))
    if options.json:
        for one in found:
            print(json.dumps({**asdict(one), "machine": machine()}))
    else:
        print(f"machine: {machine()}, CPython {sys.version.split()[0]}, {options.workers} workers")
        print("method: asked for to first packet at a UDP socket, ms; any place in the tick of 20 ms")
        print(f"{'kind':<12} {'samples':>7} {'median':>7} {'p95':>7} {'max':>7}   slowest locale's median")
        for one in found:
            print(
                f"{one.kind:<12} {one.samples:>7} {one.median_ms:>7.1f} {one.p95_ms:>7.1f} {one.max_ms:>7.1f}   "
                f"{one.slowest_locale} {one.slowest_locale_median_ms:.1f}"
            )
    promised = {"cached": TICK_MS, "four digits": NEW_SENTENCE_MS, "sentence": NEW_SENTENCE_MS}
    return 0 if all(one.median_ms <= promised.get(one.kind, NEW_SENTENCE_MS) for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
