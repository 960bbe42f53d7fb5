"""From measurement frames to a stream: layout, quality, gaps; and who may listen to it."""

import asyncio
import math
import struct

import msgspec
import pytest

from agent.c37118.frames import CommandCode, FrameType, sealed, size_of
from agent.c37118.server import BACKLOG, EXPIRY, SILENCE, Server
from agent.c37118.stream import LASTING, Stream
from agent.outputs import Outputs
from algorithms.api.records import AngleReference, Quality
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Assignment, Configuration, SynchrophasorStream
from device_catalog.contract.documents import Outputs as OutputSettings
from tests.support.frames import frame
from tests.support.ports import free_port

NAMES = ("VA", "VB", "VC", "IA", "IB", "IC", "V1")


def instant(count, period_ns=20_000_000):
    return 1_700_000_000_000_000_000 + count * period_ns


def learnt(**options):
    stream = Stream(7, "m-1", 50.0, **options)
    assert stream.take(frame(instant(0))) is None
    assert stream.take(frame(instant(1))) is not None
    return stream


def stat(data):
    return int.from_bytes(data[14:16])


def test_two_records_tell_what_the_stream_holds():
    stream = Stream(7, "m-1", 50.0)
    assert stream.configuration() is None
    stream.take(frame(instant(0)))
    stream.take(frame(instant(1)))
    assert stream.layout is not None
    assert (stream.layout.phasors, stream.layout.rate, stream.layout.changes) == (NAMES, 50, 0)


@pytest.mark.parametrize(("period", "rate"), [(0.02, 50), (1 / 60, 60), (0.1, 10), (1.0, 1), (2.0, -2), (10.0, -10)])
def test_the_rate_is_told_per_second_or_in_seconds(period, rate):
    stream = Stream(7, "m-1", 50.0)
    for count in range(2):
        stream.take(frame(instant(count, round(period * 1e9))))
    assert stream.layout is not None
    assert stream.layout.rate == rate


def test_a_gap_changes_nothing_and_a_faster_rate_does():
    stream = learnt()
    stream.take(frame(instant(50)))
    assert (stream.layout.rate, stream.layout.changes) == (50, 0)
    stream.take(frame(instant(50) + 10_000_000))
    assert (stream.layout.rate, stream.layout.changes) == (100, 1)


@pytest.mark.parametrize(("period_ns", "rate"), [(100_000_000, 10), (40_000_000, 25), (2_000_000_000, -2)])
def test_a_rate_that_was_lowered_is_told_when_it_has_lasted(period_ns, rate):
    """So many periods of one length are no gaps; the number of changes tells concentrators to ask anew."""
    stream = learnt()
    last = instant(1)
    told = []
    for count in range(1, LASTING + 3):
        stream.take(frame(last + count * period_ns))
        told.append((stream.layout.rate, stream.layout.changes))
    assert told == [(50, 0)] * (LASTING - 1) + [(rate, 1)] * 3
    configuration = stream.configuration()
    assert struct.unpack(">Hh", configuration[-6:-2]) == (1, rate)


def test_gaps_between_measurements_of_one_rate_are_no_lower_rate():
    """Losing some now and then, or ever differently many, is a gap each time."""
    stream = learnt()
    at = instant(1)
    for missed in (1, 1, 1, 1, 0, 1, 1, 1, 1, 2, 3, 1, 5, 1):
        at += (1 + missed) * 20_000_000
        stream.take(frame(at))
    assert (stream.layout.rate, stream.layout.changes) == (50, 0)


def test_a_phase_that_goes_is_not_a_number_and_one_that_comes_changes_the_layout():
    stream = learnt()
    whole = frame(instant(2))
    fewer = msgspec.structs.replace(whole, voltage={phase: whole.voltage[phase] for phase in "AB"})
    data = stream.take(fewer)
    assert math.isnan(struct.unpack(">f", data[16 + 2 * 8 : 20 + 2 * 8])[0])
    assert stream.layout.changes == 0
    more = msgspec.structs.replace(whole, current={**whole.current, "N": whole.current["A"]})
    stream.take(more)
    assert stream.layout.phasors == ("VA", "VB", "VC", "IA", "IB", "IC", "IN", "V1")
    assert stream.layout.changes == 1


def test_phasors_are_what_was_measured():
    data = learnt().take(frame(instant(2), voltage=(230.0, 231.0, 232.0), angle=0.3))
    real, imaginary = struct.unpack(">ff", data[16:24])
    assert complex(real, imaginary) == pytest.approx(230 * complex(math.cos(0.3), math.sin(0.3)), rel=1e-6)
    size, angle = struct.unpack(">ff", learnt(polar=True).take(frame(instant(2), angle=0.3))[16:24])
    assert (size, angle) == pytest.approx((230.0, 0.3))


def test_time_and_quality_show_in_the_status():
    """Three standard uncertainties count as the largest error: 1 ms is within 10 ms."""
    stream = learnt()
    good = stream.take(frame(instant(2)))
    assert stat(good) == 6 << 6
    assert good[10] == 8
    own = stream.take(msgspec.structs.replace(frame(instant(3)), reference=AngleReference.OWN))
    assert stat(own) & 1 << 13
    lost = stream.take(msgspec.structs.replace(frame(instant(4)), quality=(Quality.UNSYNCHRONISED,)))
    assert stat(lost) & 1 << 13
    assert lost[10] == 15
    for reason in (Quality.CLIPPED, Quality.OUT_OF_RANGE):
        assert stat(stream.take(msgspec.structs.replace(frame(instant(5)), quality=(reason,)))) >> 14 == 0b11


# ---- the server


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
