"""What holds for every test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.support.stalls import REPEATS, STALL_S, StallWatch

_OF_LIBRARIES = ("sqlalchemy", "aiosqlite", "alembic", "asyncio")
_IN_REAL_TIME = ("e2e", "interop", "soak")
_WATCH = pytest.StashKey[StallWatch]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make a test with telephones again when the machine stood still meanwhile (``tests/support/stalls.py``)."""
    in_real_time = [item for item in items if any(item.get_closest_marker(name) for name in _IN_REAL_TIME)]
    if not in_real_time or not config.pluginmanager.hasplugin("rerunfailures"):
        return
    watch = config.stash[_WATCH] = StallWatch()
    watch.start()
    config.add_cleanup(watch.stop)
    for item in in_real_time:
        item.add_marker(pytest.mark.flaky(reruns=REPEATS, condition=excuse_of(item, watch)))


def excuse_of(item: pytest.Item, watch: StallWatch) -> Callable[[], bool]:
    """Return what tells, after a failure, whether the test is to be made again."""
    to_be_confirmed = [item.get_closest_marker("strict") is None]

    def is_excused() -> bool:
        first, to_be_confirmed[0] = to_be_confirmed[0], False
        return first or watch.longest_s >= STALL_S

    return is_excused


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Watch the machine from the beginning of each attempt on."""
    if (watch := item.config.stash.get(_WATCH, None)) is not None:
        watch.reset()


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a command that ran in this process has done to logging: its level would silence the tests behind it."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in _OF_LIBRARIES)]
    before = [(logger, logger.level) for logger in loggers]
    yield
    for logger, level in before:
        logger.setLevel(level)
