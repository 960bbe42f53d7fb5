"""
The thread in which requests to the catalog wait, one after the other.

Where it stands: owned by whoever talks to the catalog, `conversation` and `recordings_upload`. A request may wait for a
minute, and looking up a name even longer, where the system does not let itself be interrupted. The thread is one that
the end of the process does not wait for: nothing is lost with a request, and a meter that is told to stop stops.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Answer = TypeVar("Answer")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class Requests(Protocol):
    """What runs requests: `RequestThread`, or a test's own."""

    async def run(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns, or raise what it raises."""

    def close(self) -> None:
        """Begin nothing more."""


class RequestThread:
    """Runs calls that block, in the order in which they are made; the thread begins with the first."""

    def __init__(self, name: str = "catalog") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns, or raise what it raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._jobs.put((call, loop, answer))
        return await answer

    def close(self) -> None:
        """Begin nothing more; what is under way is not waited for."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, loop, answer = job
            if answer.cancelled():
                continue
            result: Any = None
            failure: BaseException | None = None
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - raised where it was asked for
                failure = error
            try:
                loop.call_soon_threadsafe(_settle, answer, result, failure)
            except RuntimeError:  # the loop has ended
                return


def _settle(answer: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if answer.done():  # nobody waits any more
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(result)
