"""Figures of the plane are read by the thread of the metrics while the loop opens and closes legs."""

from __future__ import annotations

import pytest

from engine.media import Leg, LegStatistics
from engine.media.plane import ManualPlane


def test_a_leg_that_opens_while_figures_are_read_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = ManualPlane()
    plane.open_leg()
    read = Leg.statistics

    def opens_another(leg: Leg) -> LegStatistics:
        if leg.id == first:
            plane.open_leg()
        return read(leg)

    first = plane.open_leg().id
    monkeypatch.setattr(Leg, "statistics", opens_another)
    assert plane.statistics().packets_in == 0
    monkeypatch.undo()
    plane.stop()
