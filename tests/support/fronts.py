"""What stands between a device and its broker: a front that can refuse MQTT 5, fall silent, or hang up."""

import asyncio
from contextlib import suppress


class Front:
    """
    Passes bytes on to a broker until told otherwise.

    Attributes
    ----------
    only_311 : bool
        Refuse MQTT 5 like a broker that has never heard of it.
    silent : bool
        Take bytes and pass none on: a half-open connection.
    poison : bytes
        Hang up on whoever sends this; empty for nobody.
    connections : int
    """

    def __init__(self, broker_port: int) -> None:
        self.only_311 = False
        self.silent = False
        self.poison = b""
        self.connections = 0
        self.port = 0
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> str:
        """Listen; returns the endpoint."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"mqtt://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        task.add_done_callback(self._tasks.discard)
        try:
            with suppress(OSError):
                await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connect = await reader.read(4096)
        level = connect[connect.index(b"MQTT") + 4]
        if self.only_311 and level == 5:
            writer.write(b"\x20\x02\x00\x01")  # CONNACK of 3.1.1: unacceptable protocol version
            return
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers.append(broker_writer)
        broker_writer.write(connect)
        both = [
            asyncio.create_task(self._pass(reader, broker_writer)),
            asyncio.create_task(self._pass(broker_reader, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            broker_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.poison and self.poison in data:
                return
            if not self.silent:
                writer.write(data)
                await writer.drain()
