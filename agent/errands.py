"""
What may take long, done beside the loop that must not wait for it: at most one of a kind at a time.

Where it stands: owned by `service`, whose housekeeping feeds the watchdog and therefore waits for nothing.
"""

import asyncio
from collections.abc import Coroutine


class Errands:
    """What one agent does by the way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        """Do something, unless the one before of that name is still at it."""
        if any(task.get_name() == name for task in self._tasks):
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
