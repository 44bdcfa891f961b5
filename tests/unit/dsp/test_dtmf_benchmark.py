"""The benchmark runs, scores rightly, and prints JSON that a machine can read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import dtmf as bench


def test_a_key_is_heard_once_and_the_rest_is_inserted() -> None:
    keys = [(1000, 1400, "1"), (2000, 2400, "2"), (3000, 3400, "3")]
    found = [(1300, "1"), (1350, "1"), (2300, "5"), (3500, "3")]
    recall, inserted = bench.score(keys, found)
    assert recall == pytest.approx(200 / 3)
    assert inserted == 2


def test_the_common_subsequence_counts_digits_in_their_order() -> None:
    assert bench.common("1234", "1234") == 4
    assert bench.common("1234", "2413") == 2
    assert bench.common("", "12") == 0


def test_stimuli_say_where_their_keys_are() -> None:
    samples, keys = bench.sequence(np.random.default_rng(1), 5, 50, 50, in_spec=True)
    for start, end, _ in keys:
        assert np.count_nonzero(samples[start:end]) > 300
        assert not samples[end : end + 300].any()


def test_the_benchmark_prints_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RUNS", 1)
    assert bench.main(["--json", "--digits", "5"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"]["clean 80/80"]["paytone"]["recall_percent"] == 100
    assert result["accuracy"]["23 ms (refuse)"]["paytone"]["inserted"] == 0
    assert all(row["paytone"] > 0 for row in result["samples_per_second"].values())
