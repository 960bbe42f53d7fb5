"""
Everything wrong with what a configuration says of the image of a meter's root slots, and when a meter may restart.

Whether an image is signed is for the repository to say, and whether it fits for the device. Pure; no numpy.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from device_catalog.contract.documents import Configuration
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.update_rules import is_version, judge_package

LONGEST_IMAGE_PROBATION = 3600.0
"""So long at most an image may take to prove itself; a meter leaves one that nobody confirmed soon after [s]."""
MAXIMUM_WINDOWS = 16
SLOWEST, FASTEST = 1_000.0, 100e6
"""Rates of a download [bytes/s]."""

_window = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")


def judge_image(problems: Problems, configuration: Configuration, where: str) -> None:
    """Add what is wrong with the image that a configuration asks for."""
    image = configuration.image
    if image is None:
        return
    problems.expect(is_identifier(image.name), f"{where}.name", IDENTIFIER, image.name)
    taken = any(one.algorithm == image.name for one in configuration.algorithms)
    problems.expect(not taken, f"{where}.name", "a name that no algorithm has", image.name)
    expected = "a version such as 1.4.2, or nothing for the one that is there"
    problems.expect(not image.version or is_version(image.version), f"{where}.version", expected, image.version)
    stated = bool(image.version) == (image.package is not None)
    remedy = "`tresma rollout start NAME==VERSION` states both"
    problems.expect(stated, f"{where}.package", "a version together with its signed manifest", "one of them", remedy)
    if image.package is not None:
        judge_package(problems, image.package, f"{where}.package")
    is_named = not image.rollout or is_identifier(image.rollout)
    problems.expect(is_named, f"{where}.rollout", f"{IDENTIFIER}, or nothing", image.rollout)
    problems.number(image.probation, f"{where}.probation", 0, LONGEST_IMAGE_PROBATION, above=True)
    problems.number(image.rate, f"{where}.rate", SLOWEST, FASTEST)
    most = MAXIMUM_WINDOWS
    problems.expect(len(image.windows) <= most, f"{where}.windows", f"at most {most}", len(image.windows))
    for index, window in enumerate(image.windows[:most]):
        right = _minutes(window) is not None
        problems.expect(right, f"{where}.windows[{index}]", "times of the day in UTC such as 01:00-04:30", window)


def is_open(windows: Iterable[str], time: float) -> bool:
    """
    Tell whether a meter may restart at a time [s since 1970]; always where no window is stated.

    >>> is_open(["23:00-02:00"], 90_000.0), is_open(["03:00-04:00"], 90_000.0), is_open([], 0.0)
    (True, False, True)
    """
    moment = datetime.fromtimestamp(time, UTC)
    minute = 60 * moment.hour + moment.minute
    spans = [span for window in windows if (span := _minutes(window)) is not None]
    return not spans or any(
        begin <= minute < end if begin < end else (minute >= begin or minute < end) for begin, end in spans
    )


def _minutes(window: str) -> tuple[int, int] | None:
    found = _window.fullmatch(window)
    if found is None:
        return None
    begin, end = 60 * int(found[1]) + int(found[2]), 60 * int(found[3]) + int(found[4])
    return None if begin == end or end > 24 * 60 else (begin, end)
