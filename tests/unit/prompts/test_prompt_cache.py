from __future__ import annotations

import os
from pathlib import Path

import pytest

from prompts.cache import DiskCache, content_key

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
