"""Waiting for something that happens in another process, with a limit and without guessing how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def wait_until(condition: Callable[[], Value], what: str, timeout: float = 10.0, interval: float = 0.01) -> Value:
    """Return what `condition` gives as soon as it is true; fail naming `what` after `timeout` [s]."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout:g} s")
        time.sleep(interval)
