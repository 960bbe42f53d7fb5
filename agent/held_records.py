"""
Records of one algorithm on their way out, held back while the state that counts them is being made durable.

Where it stands: between an algorithm's process and the router, inside `supervised_algorithm`; `checkpoints` writes the
states. Rules: an urgent result waits for the states that came before it, and what comes after it waits behind it, so
that the order stays; nothing waits longer than `LONGEST`; where a state cannot be kept, records go on without it and
that is said, since a meter with a worn card goes on measuring.
"""

import asyncio
import concurrent.futures
from collections import deque
from collections.abc import Callable, Sequence

from algorithms.api.records import Record, Result

LONGEST = 5.0
"""How long records wait for a card [s]: a worn one takes a second now and then."""


class HeldRecords:
    """
    A row of batches, and what the first of them waits for.

    Parameters
    ----------
    release : callable
        Takes a batch that waits for nothing.
    judge : callable
        Takes what is wrong with keeping states: a sentence, or an empty one when all is well again.

    Attributes
    ----------
    judge : callable
        May be replaced by a successor's, whose records go behind those that are held.
    """

    def __init__(self, release: Callable[[Sequence[Record]], None], judge: Callable[[str], None]) -> None:
        self._release = release
        self.judge = judge
        self._row: deque[tuple[asyncio.Future[None] | None, float, Sequence[Record]]] = deque()
        self._state: asyncio.Future[None] | None = None

    def state_comes(self, durable: concurrent.futures.Future[None]) -> None:
        """Let the urgent results that follow wait for `durable`."""
        self._state = asyncio.wrap_future(durable)
        self._state.add_done_callback(self._written)

    def put(self, records: Sequence[Record]) -> None:
        """Release records now where nothing has to be waited for, or later."""
        counts = any(isinstance(record, Result) and record.urgent for record in records)
        state = self._state if counts and self._state is not None and not self._state.done() else None
        if state is None and not self._row:
            self._release(records)
            return
        loop = asyncio.get_running_loop()
        self._row.append((state, loop.time() + LONGEST, records))
        loop.call_later(LONGEST, self._advance)

    async def settle(self) -> None:
        """Wait until nothing is held."""
        while self._row:
            state, until, _ = self._row[0]
            if state is not None:
                await asyncio.wait([state], timeout=max(0.0, until - asyncio.get_running_loop().time()))
            self._advance()

    def _written(self, state: asyncio.Future[None]) -> None:
        failure = None if state.cancelled() else state.exception()
        self.judge("" if failure is None else f"its state could not be kept, the one before stays: {failure}")
        self._advance()

    def _advance(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._row:
            state, until, records = self._row[0]
            if state is not None and not state.done():
                if now < until:
                    return
                self.judge(f"its state was not durable within {LONGEST:g} s; results were told without it")
            self._row.popleft()
            self._release(records)
