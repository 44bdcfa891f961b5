from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prompts.cache import PARTIAL_AGE_S, DiskCache, content_key

AUDIO = (b"\x01" * 800, b"\x02" * 800)
KEY = content_key("text", "en-US")


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "prompts", max_bytes=9_500)


def the_file(cache: DiskCache, tmp_path: Path) -> Path:
    (path,) = (tmp_path / "prompts").iterdir()
    return path


def test_keys_differ_when_any_part_does_and_do_not_run_together() -> None:
    keys = {content_key("ab", "c"), content_key("a", "bc"), content_key("abc"), content_key("abc", ""), content_key()}
    assert len(keys) == 5


def test_what_was_stored_is_found_also_by_the_next_process(cache: DiskCache, tmp_path: Path) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, *AUDIO)
    assert cache.get(KEY) == AUDIO
    assert DiskCache(tmp_path / "prompts", max_bytes=9_500).get(KEY) == AUDIO
    assert (cache.stats.hits, cache.stats.misses) == (1, 1)


def test_only_the_owner_can_read_the_cache(cache: DiskCache, tmp_path: Path) -> None:
    cache.put(KEY, *AUDIO)
    assert (tmp_path / "prompts").stat().st_mode & 0o777 == 0o700
    assert the_file(cache, tmp_path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:41],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: b"x" + data[1:],
        lambda data: data + b"\x00\x00",
        lambda data: bytes(len(data)),
    ],
    ids=["empty", "cut", "header only", "flipped bit", "magic", "longer", "zeros"],
)
def test_a_damaged_file_is_removed_and_not_played(cache: DiskCache, tmp_path: Path, damage: object) -> None:
    cache.put(KEY, *AUDIO)
    path = the_file(cache, tmp_path)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert not path.exists()
    assert cache.stats.corrupt == 1
    cache.put(KEY, *AUDIO)
    assert cache.get(KEY) == AUDIO


def test_what_was_not_used_for_longest_goes_when_the_bound_is_passed(cache: DiskCache, tmp_path: Path) -> None:
    keys = [content_key(str(i)) for i in range(6)]
    for age, key in enumerate(keys[:5]):
        cache.put(key, *AUDIO)
        os.utime(tmp_path / "prompts" / f"{key}.clip", (1_000_000 + age, 1_000_000 + age))
    assert cache.get(keys[0]) == AUDIO  # used now: it stays
    for key in keys[5:]:
        cache.put(key, *AUDIO)
    assert cache.stats.evicted == 1
    assert cache.get(keys[1]) is None
    assert [cache.get(key) for key in (keys[0], *keys[2:])] == [AUDIO] * 5
    used = sum(path.stat().st_size for path in (tmp_path / "prompts").iterdir())
    assert used <= 9_500


def test_a_note_is_kept_beside_the_clips_and_goes_when_it_is_damaged(cache: DiskCache, tmp_path: Path) -> None:
    assert cache.note(KEY) is None
    cache.put_note(KEY, b"fresh")
    cache.put(KEY, *AUDIO)
    assert cache.note(KEY) == b"fresh"
    assert cache.get(KEY) == AUDIO
    path = tmp_path / "prompts" / f"{KEY}.note"
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.note(KEY) is None
    assert not path.exists()
    cache.put_note(KEY, b"fresh")
    cache.forget_note(KEY)
    cache.forget_note(KEY)
    assert cache.note(KEY) is None


def test_what_a_killed_process_left_half_written_goes_an_hour_later(tmp_path: Path) -> None:
    directory = tmp_path / "prompts"
    directory.mkdir()
    (directory / "abc.part").write_bytes(b"half")
    (directory / "somebody's file").write_bytes(b"theirs")
    written = (directory / "abc.part").stat().st_mtime
    DiskCache(directory, max_bytes=9_500, clock=lambda: written + PARTIAL_AGE_S).put(KEY, *AUDIO)
    assert (directory / "abc.part").exists(), "it may still be written to"
    DiskCache(directory, max_bytes=9_500, clock=lambda: written + PARTIAL_AGE_S + 1).put(KEY, *AUDIO)
    assert sorted(path.name for path in directory.iterdir()) == sorted([f"{KEY}.clip", "somebody's file"])


def test_two_engines_on_one_directory_keep_its_bound_together(tmp_path: Path) -> None:
    engines = [DiskCache(tmp_path, max_bytes=100_000) for _ in range(2)]
    most = 0
    for number in range(400):
        engines[number % 2].put(content_key(str(number)), *AUDIO)
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
    # Each may write a sixteenth before it looks what the other one did.
    assert 80_000 < most <= 100_000 * (1 + 2 / 16)
    assert all(engine.stats.write_errors == engine.stats.corrupt == 0 for engine in engines)


def test_a_file_that_is_too_long_to_be_a_clip_is_not_read_into_memory(cache: DiskCache, tmp_path: Path) -> None:
    cache.put(KEY, *AUDIO)
    os.truncate(the_file(cache, tmp_path), 1 << 40)  # sparse: it takes no room
    assert cache.get(KEY) is None
    assert cache.stats.corrupt == 1


WRITER = """
import sys
from pathlib import Path
from prompts.cache import DiskCache, content_key

cache = DiskCache(Path(sys.argv[1]), max_bytes=50_000_000)
number = 0
while True:
    audio = bytes([number % 256]) * 400_000
    print(number, flush=True)
    cache.put(content_key(str(number % 7)), audio, audio)
    number += 1
"""


def test_a_reader_finds_whole_clips_or_none_while_writers_are_killed_in_the_middle(tmp_path: Path) -> None:
    reader = DiskCache(tmp_path, max_bytes=50_000_000)
    found = 0
    for turn in range(6):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            for _ in range(5 + 3 * turn):
                writer.stdout.readline()
            for number in range(7):
                clip = reader.get(content_key(str(number)))
                found += clip is not None
                assert clip is None or (clip[0] == clip[1] and len(set(clip[0])) == 1 and len(clip[0]) == 400_000)
        for writer in writers:
            assert writer.stdout is not None
            writer.kill()
            writer.wait()
            writer.stdout.close()
    assert found > 0
    assert reader.stats.corrupt == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="limits of Linux")
def test_a_full_disk_is_counted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from prompts.cache import DiskCache

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = DiskCache(Path({str(tmp_path)!r}), max_bytes=50_000_000)
cache.put("big", bytes(8000), bytes(8000))
cache.put("small", b"a" * 100, b"b" * 100)
print(cache.stats.write_errors, cache.get("big"), cache.get("small") == (b"a" * 100, b"b" * 100))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 None True"
    assert [path.name for path in tmp_path.iterdir()] == ["small.clip"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_may_only_be_read_is_read(cache: DiskCache, tmp_path: Path) -> None:
    cache.put(KEY, *AUDIO)
    (tmp_path / "prompts").chmod(0o500)
    try:
        readers = DiskCache(tmp_path / "prompts", max_bytes=9_500)
        assert readers.get(KEY) == AUDIO
        readers.put(content_key("other"), *AUDIO)
        assert readers.stats.write_errors == 1
    finally:
        (tmp_path / "prompts").chmod(0o700)


def test_a_directory_that_cannot_be_written_is_counted_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("a file where the directory should be")
    cache = DiskCache(tmp_path / "prompts", max_bytes=9_500)
    cache.put(KEY, *AUDIO)
    assert cache.get(KEY) is None
    assert cache.stats.write_errors == 1


def test_a_failed_write_leaves_nothing_behind(
    cache: DiskCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache.put(KEY, *AUDIO)
    assert cache.stats.write_errors == 1
    assert list((tmp_path / "prompts").iterdir()) == []
