"""The C37.118 server: who may listen, by TCP and UDP, who is dropped, and how the agent's settings bring it about."""

import asyncio
import struct

import pytest

from agent.c37118.frames import CommandCode, FrameType, sealed, size_of
from agent.c37118.server import BACKLOG, EXPIRY, SILENCE, Server
from agent.c37118.stream import Stream
from agent.outputs import Outputs
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Assignment, Configuration, SynchrophasorStream
from device_catalog.contract.documents import Outputs as OutputSettings
from tests.support.frames import frame, instant
from tests.support.ports import free_port


def command(code, id_code=7):
    return sealed(FrameType.COMMAND, id_code, instant(0), struct.pack(">H", code))


async def read_frame(reader):
    head = await asyncio.wait_for(reader.readexactly(4), 5)
    return head + await asyncio.wait_for(reader.readexactly(size_of(head) - 4), 5)


class Running:
    """A server on loopback, with frames as they are asked for."""

    def __init__(self, **settings):
        given = {"address": "127.0.0.1", "port": free_port(), "id_code": 7, **settings}
        self.server = Server(SynchrophasorStream(**given), Stream(7, "m-1", 50.0))
        self._count = 0

    async def __aenter__(self):
        await self.server.start()
        return self

    async def __aexit__(self, *_):
        await self.server.close()

    async def connect(self):
        return await asyncio.open_connection(*self.server.address)

    async def measure(self, count=1):
        for _ in range(count):
            self.server.take(frame(instant(self._count)))
            self._count += 1
        await asyncio.sleep(0)

    async def until(self, condition, what):
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"expected {what} within 5 s, and it did not come")


def test_a_client_asks_starts_and_stops():
    async def run():
        async with Running() as running:
            reader, writer = await running.connect()
            writer.write(command(CommandCode.SEND_CONFIGURATION_2) + command(CommandCode.START))
            await running.until(lambda: any(c.waits for c in running.server._tcp.values()), "a client")
            await running.measure(3)
            kinds = [(await read_frame(reader))[1] >> 4 for _ in range(3)]
            writer.write(command(CommandCode.STOP) + command(CommandCode.SEND_HEADER))
            header = await read_frame(reader)
            await running.measure(2)
            writer.write(command(CommandCode.SEND_CONFIGURATION_1))
            last = await read_frame(reader)
            writer.close()
            return kinds, header, last

    kinds, header, last = asyncio.run(run())
    assert kinds == [FrameType.CONFIGURATION_2, FrameType.DATA, FrameType.DATA]
    assert b"tresma meter m-1, terminal T1" in header
    assert last[1] >> 4 == FrameType.CONFIGURATION_1


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\xaa\x42\xff\xff" + bytes(20), b"\xaa\x42\x00\x12" + bytes(14)]
)
def test_who_says_something_else_is_closed(said):
    async def run():
        async with Running() as running:
            reader, writer = await running.connect()
            writer.write(said)
            try:
                rest = await asyncio.wait_for(reader.read(), 5)
            except ConnectionResetError:
                rest = b""
            writer.close()
            return rest

    assert asyncio.run(run()) == b""


def test_commands_for_another_stream_change_nothing():
    async def run():
        async with Running() as running:
            reader, writer = await running.connect()
            writer.write(command(CommandCode.START, id_code=8) + command(CommandCode.SEND_CONFIGURATION_2))
            await running.until(lambda: any(c.waits for c in running.server._tcp.values()), "a client")
            await running.measure(3)
            kinds = [(await read_frame(reader))[1] >> 4]
            writer.write(command(CommandCode.SEND_CONFIGURATION_2))
            kinds.append((await read_frame(reader))[1] >> 4)
            writer.close()
            return kinds

    assert asyncio.run(run()) == [FrameType.CONFIGURATION_2] * 2


def test_strangers_and_one_too_many_are_not_let_in():
    async def closed(running):
        reader, writer = await running.connect()
        try:
            ended = await asyncio.wait_for(reader.read(), 5) == b""
        except ConnectionResetError:
            ended = True
        writer.close()
        return ended

    async def run():
        async with Running(clients=("192.0.2.0/24",)) as running:
            assert await closed(running)
        async with Running(clients=("127.0.0.0/8",), maximum_clients=1) as running:
            _, first = await running.connect()
            await running.until(lambda: running.server.clients == 1, "the first client")
            assert await closed(running)
            assert running.server.refused == 1
            first.close()
            await running.until(lambda: running.server.clients == 0, "the first client to be gone")

    asyncio.run(run())


def test_a_slow_client_is_dropped_and_holds_up_nobody():
    """One client never reads; the other gets every frame, and the slow one is gone before it costs much memory."""

    async def run():
        async with Running() as running:
            slow_reader, slow = await running.connect()
            slow_reader._transport.pause_reading()
            reader, quick = await running.connect()
            for writer in (slow, quick):
                writer.write(command(CommandCode.START))
            await running.until(lambda: sum(c.wants_data for c in running.server._tcp.values()) == 2, "two clients")
            await running.measure(2)
            got = 1
            await read_frame(reader)
            while running.server.dropped == 0:
                await running.measure(200)
                for _ in range(200):
                    await read_frame(reader)
                got += 200
                assert got < 200_000, "the slow client is never dropped"
            assert running.server.clients == 1
            quick.close()
            slow.close()
            return got

    assert asyncio.run(run()) * 90 > BACKLOG


def test_udp_answers_those_it_may_and_tells_those_it_must():
    class Listener(asyncio.DatagramProtocol):
        def __init__(self):
            self.heard = []

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, _addr):
            self.heard.append(data[1] >> 4)

    async def run():
        loop = asyncio.get_running_loop()
        _, told = await loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
        _, asking = await loop.create_datagram_endpoint(Listener, local_addr=("127.0.0.1", 0))
        target = f"127.0.0.1:{told.transport.get_extra_info('sockname')[1]}"
        settings = {"port": 0, "udp_port": free_port(), "udp_to": (target,), "clients": ("127.0.0.1",)}
        async with Running(**settings) as running:
            asking.transport.sendto(b"noise", running.server.udp_address)
            asking.transport.sendto(command(CommandCode.START), running.server.udp_address)
            await running.until(lambda: running.server.clients == 1, "who asked")
            await running.measure(3)
            await running.until(lambda: len(told.heard) == 3 and len(asking.heard) == 2, "datagrams")
            asking.transport.sendto(command(CommandCode.STOP), running.server.udp_address)
            await running.until(lambda: running.server.clients == 0, "who asked to be forgotten")
        told.transport.close()
        asking.transport.close()
        return told.heard, asking.heard

    told, asking = asyncio.run(run())
    assert told == [FrameType.CONFIGURATION_2, FrameType.DATA, FrameType.DATA]
    assert asking == [FrameType.DATA, FrameType.DATA]


def test_udp_clients_that_are_gone_give_way_and_take_no_place_of_tcp():
    """Two that started and left: TCP connects still, a third by UDP as soon as one has been silent for long."""

    async def run():
        loop = asyncio.get_running_loop()
        ahead = 0.0
        real = loop.time
        settings = {"udp_port": free_port(), "clients": ("127.0.0.1",), "maximum_clients": 2}
        async with Running(**settings) as running:
            server = running.server
            start = command(CommandCode.START)
            for port in (1001, 1002):
                server.commanded(start, ("127.0.0.1", port))
            server.commanded(start, ("127.0.0.1", 1003))
            assert (server.clients, server.refused) == (2, 1)
            _, writer = await running.connect()
            await running.until(lambda: server.clients == 3, "a connection")
            loop.time = lambda: real() + ahead
            ahead = SILENCE + 1
            server.commanded(start, ("127.0.0.1", 1001))
            server.commanded(b"noise", ("127.0.0.1", 1003))
            server.commanded(command(CommandCode.START, id_code=8), ("127.0.0.1", 1003))
            assert [port for _, port in server._udp] == [1002, 1001]
            server.commanded(start, ("127.0.0.1", 1003))
            assert [port for _, port in server._udp] == [1001, 1003]
            server.commanded(start, ("127.0.0.1", 1002))
            assert (server.clients, server.refused) == (3, 2)
            ahead += EXPIRY + 1
            await running.measure(4)
            assert not server._udp
            loop.time = real
            writer.close()

    asyncio.run(run())


# ---- the agent's part


def configured(**settings):
    stream = SynchrophasorStream(**{"address": "127.0.0.1", "port": free_port(), **settings})
    return Configuration(algorithms=(Assignment("phasors"),), outputs=OutputSettings(stream))


def test_outputs_follow_the_configuration():
    async def run():
        outputs = Outputs("m-1")
        await outputs.configure(Configuration())
        outputs.take("phasors", [frame(instant(0))])
        first = configured()
        await outputs.configure(first)
        server = outputs._server
        await outputs.configure(first)
        assert outputs._server is server
        outputs.take("another", [frame(instant(0))])
        assert server.stream.header() is None
        outputs.take("phasors", [frame(instant(0)), frame(instant(1))])
        assert server.stream.layout is not None
        await outputs.configure(configured(polar=True))
        assert outputs._server is not server
        await outputs.configure(Configuration())
        assert outputs._server is None
        await outputs.close()

    asyncio.run(run())


def test_an_address_that_is_not_there_is_told_and_refuses_nothing():
    async def run():
        outputs = Outputs("m-1")
        await outputs.configure(configured(address="192.0.2.77"))
        problems = outputs.problems()
        outputs.take("phasors", [frame(instant(0))])
        await outputs.close()
        return problems, outputs.problems()

    before, after = asyncio.run(run())
    assert len(before) == 1
    assert "cannot be bound to 192.0.2.77" in before[0]
    assert after == []


def test_what_is_wrong_with_an_output_is_found_at_once():
    wrong = configured(
        address="::", port=0, clients=("everybody",), id_code=0, station="x" * 17, algorithm="other", maximum_clients=0
    )
    found = {problem.where.removeprefix("configuration.outputs.c37_118.") for problem in problems_of(wrong)}
    assert found == {"address", "port", "clients[0]", "id_code", "station", "algorithm", "maximum_clients"}
    assert problems_of(configured()) == []
    udp = configured(udp_to=("192.0.2.5", "192.0.2.5:0", "192.0.2.5:4713"))
    assert [problem.where[-9:] for problem in problems_of(udp)] == ["udp_to[0]", "udp_to[1]"]
