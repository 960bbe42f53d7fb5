"""
What all tests share in how they are collected.

Tests marked ``recordings`` need real recordings, which are no part of this repository. Where they are absent those
tests are deselected, and the summary says so.
"""

import pytest
from hypothesis import HealthCheck, settings

from tests.support.recordings import recordings_folder

_absent = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # How fast the machine is today is no behaviour: a busy one must not fail a law.
    settings.register_profile("tresma", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("tresma")
    config.addinivalue_line("markers", "recordings: needs the real recordings (TRESMA_RECORDINGS)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if recordings_folder() is not None:
        return
    without = [item for item in items if item.get_closest_marker("recordings") is not None]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]
        config.stash[_absent] = len(without)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    count = config.stash.get(_absent, 0)
    if count:
        terminalreporter.write_line(
            f"{count} tests deselected: no real recordings found; set TRESMA_RECORDINGS to their folder"
        )
