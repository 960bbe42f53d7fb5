"""An event loop in which waiting takes no time: it jumps to the next timer when nothing else is to be done."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Value = TypeVar("Value")

STEP = 0.01
"""How often `until` looks [s]."""


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        ready = super().select(0)
        if not ready:
            self.skipped += max(0.0, timeout)
        return ready


class QuickLoop(asyncio.SelectorEventLoop):
    """For code without threads and processes; its `time` runs ahead of the clock by what was not waited for."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        return super().time() + self._waits.skipped


def run_quickly(main: Coroutine[Any, Any, Value]) -> Value:
    """Run `main` in a `QuickLoop`."""
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(main)


async def until(condition: Callable[[], object], within: float = 10_000.0, step: float = STEP) -> float:
    """Let time pass until `condition` is true; return how long that took [s]."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while not condition():
        if loop.time() - begin > within:
            raise AssertionError(f"did not happen within {within:g} s")
        await asyncio.sleep(step)
    return loop.time() - begin
