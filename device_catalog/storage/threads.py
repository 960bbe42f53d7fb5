"""
The threads in which the database is used: one that writes, change after change, and two that read.

The server's own thread never waits for the disk. A change is written first and takes effect in memory after
(`StorageThreads.in_loop`): what was answered is durable. Whatever the database says is raised as `StorageError`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from device_catalog.errors import StorageError
from device_catalog.storage.database import storage_error

LOOP_TIMEOUT = 30.0
"""How long a change waits for the server's own thread [s]."""

Result = TypeVar("Result")


class StorageThreads:
    """
    Runs what blocks on the database, one write at a time.

    Parameters
    ----------
    turn : callable
        Makes what a write waits for and holds, where other processes write, too (`device_catalog.cluster`).

    Attributes
    ----------
    failed_writes : int
        Since the start; what was to be written was refused or is written later.
    """

    def __init__(self, turn: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.failed_writes = 0
        self._turn = turn
        self._writer = ThreadPoolExecutor(1, "catalog-writer")
        self._readers = ThreadPoolExecutor(2, "catalog-reader")
        self._loop: asyncio.AbstractEventLoop | None = None

    async def write(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """
        Run what writes, after whatever was to be written before.

        Raises
        ------
        StorageError
            `StorageFull` where there is no room; the next write is tried all the same.
        """
        self._loop = asyncio.get_running_loop()
        try:
            # What the request is doing goes along, so that its change can say who makes it (`deeds`).
            return await self._in(self._writer, copy_context().run, self._in_turn, function, *arguments)
        except StorageError:
            self.failed_writes += 1
            raise

    async def follow(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """
        Run what takes over what other processes wrote; between writes of our own, without waiting for a turn.

        Raises
        ------
        StorageError
        """
        self._loop = asyncio.get_running_loop()
        return await self._in(self._writer, function, *arguments)

    async def read(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """
        Run what only reads.

        Raises
        ------
        StorageError
        """
        return await self._in(self._readers, function, *arguments)

    def in_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run what touches the register in the server's own thread, and wait for it; called while writing."""
        if self._loop is None:
            raise RuntimeError("in_loop is called by what write runs")
        asyncio.run_coroutine_threadsafe(_call(function, *arguments), self._loop).result(LOOP_TIMEOUT)

    def close(self) -> None:
        """End the threads, once what was begun is done."""
        self._writer.shutdown()
        self._readers.shutdown()

    def _in_turn(self, function: Callable[..., Result], *arguments: Any) -> Result:
        with self._turn():
            return function(*arguments)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, lambda: function(*arguments))
        except SQLAlchemyError as error:
            raise storage_error(error) from error


async def _call(function: Callable[..., object], *arguments: Any) -> None:
    function(*arguments)
