"""Drive a media plane from Python while its clocks run, for a build with PAYTONE_SANITIZE=thread (`make sanitize`).

Every command that the plane takes is given, and every figure read, while the threads tick: legs come and go, talk,
play, key, change their clock to be bridged or to be in a room, are configured anew, asked for their figures and
closed. Ends with an error where calls do not go on; what two threads do to each other's memory is for the sanitizer to
say.
"""

from __future__ import annotations

import argparse
import select
import sys
import time
from pathlib import Path
from random import Random

if __name__ == "__main__":  # run as a file, the repository is not on the path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.media import DigitReceived, Leg, LegClosed, MediaPlane, Room
from prompts.clip import Clip

__all__ = ("run",)

PAIRS = 6


def _configure(leg: Leg, other: Leg, codec: str) -> None:
    leg.configure(
        remote=("127.0.0.1", other.rtp_port),
        codec=codec,
        send_pt=0 if codec == "PCMU" else 8,
        receive_pts={0: "PCMU", 8: "PCMA", 13: "CN"},
        event_receive_pt=101,
        event_send_pt=101,
    )


def _disturb(random: Random, plane: MediaPlane, legs: list[Leg], rooms: list[Room], clip: Clip) -> None:
    """Give one command, or read one figure."""
    leg = random.choice(legs)
    choice = random.randrange(20)
    if choice == 0:
        leg.play([clip] * random.randrange(4), token=1, interruptible=random.random() < 0.5, gap_ms=20)
    elif choice == 1:
        leg.stop_playing()
    elif choice == 2:
        leg.send_digits([random.randrange(16)], mode="telephone-event", on_ms=40, off_ms=40)
    elif choice == 3:
        leg.send_digits([random.randrange(16)], mode="in-band", on_ms=40, off_ms=40)
    elif choice == 4:
        leg.read_received()
    elif choice == 5:
        leg.statistics()
    elif choice == 6:
        codec = "PCMA" if random.random() < 0.5 else "PCMU"
        _configure(leg, legs[legs.index(leg) ^ 1], codec)
    elif choice == 7:
        leg.seek(random.randrange(200))
    elif choice == 8:
        leg.set_volume(random.uniform(-20.0, 6.0))
    elif choice == 9:
        random.choice([leg.pause_playing, leg.resume_playing])()
    elif choice == 10:
        leg.bridge(legs[legs.index(leg) ^ 1])
    elif choice == 11:
        leg.unbridge()
    elif choice == 12:
        leg.mask_line()
        leg.mask(random.random() < 0.5, everything=random.random() < 0.3)
    elif choice == 13:
        leg.remove_mask_line()
    elif choice == 14:
        random.choice([leg.mute, leg.earmuff])(random.random() < 0.5)
    elif choice == 15:
        # Of another clock, as often as not.
        other = random.choice(legs)
        if other is not leg:
            leg.bridge(other)
    elif choice in (16, 17):
        random.choice(rooms).add(leg, muted=random.random() < 0.2)
    elif choice == 18:
        if random.random() < 0.3:
            rooms.pop(0).close()
            rooms.append(plane.open_room())
        elif leg.room is not None:
            leg.room.remove(leg)
    else:
        leg.play([clip], token=2, interruptible=False, loop=True, report_ms=100)


def run(*, seconds: float, threads: int, seed: int) -> tuple[int, int, int]:
    """Drive a plane for `seconds`; return legs closed, keys heard, packets received."""
    random = Random(seed)
    clip = Clip(name="silence", pcmu=bytes(800), pcma=bytes(800))
    plane = MediaPlane(threads=threads)
    plane.start()
    closed = keys = asked = 0
    legs: list[Leg] = []
    rooms = [plane.open_room(), plane.open_room()]
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            while len(legs) < 2 * PAIRS:
                first = plane.open_leg(record=True)
                pair = [first, plane.open_leg(record=True, beside=first if random.random() < 0.5 else None)]
                _configure(pair[0], pair[1], "PCMU")
                _configure(pair[1], pair[0], "PCMU")
                legs += pair
            for _ in range(random.randrange(20)):
                _disturb(random, plane, legs, rooms, clip)
            if random.random() < 0.1:
                at = random.randrange(PAIRS) * 2
                for leg in (legs.pop(at), legs.pop(at)):
                    leg.close()
                    asked += 1
            select.select([plane.event_fd()], [], [], 0.01)
            events = plane.drain_events()
            closed += sum(isinstance(event, LegClosed) for event in events)
            keys += sum(isinstance(event, DigitReceived) for event in events)
            plane.statistics()
        packets = plane.statistics().packets_in
    finally:
        plane.stop()
    if not (closed and keys and packets) or asked - closed > 4 * PAIRS:
        raise SystemExit(
            f"{asked} legs asked back, {closed} closed, {keys} keys, {packets} packets: calls do not go on"
        )
    return closed, keys, packets


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    closed, keys, packets = run(seconds=options.seconds, threads=options.threads, seed=options.seed)
    print(f"media plane: {closed} legs came and went, {keys} keys, {packets} packets")


if __name__ == "__main__":
    _main()
