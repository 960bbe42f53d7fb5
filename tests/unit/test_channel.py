"""Messages over a socket pair: whole, in order, bounded, and never holding the agent up."""

import asyncio
import os
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.processes.algorithm_messages import Feed, ToAlgorithm
from agent.processes.async_channel import AsyncChannel
from agent.processes.channel import Channel, ChannelClosed, ChannelError, socket_pair
from agent.processes.protocol import Stop
from agent.processes.sampler_messages import AddReader, RemoveReader, ToSampler


class Ends:
    """An agent's end with what it heard, and a child's end."""

    def __init__(self, *, take_fds: bool = True, maximum: int = 1 << 20, queue: int = 8) -> None:
        ours, self.theirs = socket_pair()
        self.heard: list[tuple[Any, list[int]]] = []
        self.closed: list[ChannelError] = []
        self.agent = AsyncChannel(
            ours,
            ToSampler | Feed,
            maximum,
            lambda message, fds: self.heard.append((message, fds)),
            self.closed.append,
            take_fds=take_fds,
            queue=queue,
        )

    def child(self, maximum: int = 1 << 20) -> Channel:
        return Channel(self.theirs, ToSampler | Feed, maximum)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settle(condition: Any) -> None:
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - what is waited for is no event of this loop
            await asyncio.sleep(0.001)


def test_messages_and_descriptors_arrive_whole_and_in_order_both_ways():
    async def scenario():
        ends = Ends()
        child = ends.child()
        reading, writing = os.pipe()
        ends.agent.send(AddReader(1), [writing])
        ends.agent.send(RemoveReader(1))
        message, fds = child.receive(1.0)
        assert message == AddReader(1)
        os.write(fds[0], b"x")
        assert os.read(reading, 1) == b"x"
        assert child.receive(1.0) == (RemoveReader(1), [])
        assert child.receive(0.0) is None
        child.send(AddReader(2), fds)
        child.send(Stop())
        await settle(lambda: len(ends.heard) == 2)
        assert [message for message, _ in ends.heard] == [AddReader(2), Stop()]
        for fd in (reading, *fds, *ends.heard[0][1]):
            os.close(fd)
        child.close()
        await settle(lambda: ends.closed)
        assert isinstance(ends.closed[0], ChannelClosed)
        ends.agent.close()

    asyncio.run(scenario())


def test_the_agent_never_blocks_and_drops_the_oldest_offered():
    async def scenario():
        ends = Ends(queue=8)
        child = ends.child()
        payload = msgspec.Raw(msgspec.msgpack.encode("x" * 10_000))
        for _ in range(100):
            ends.agent.offer(Feed((payload,)))
        ends.agent.send(RemoveReader(7))
        assert ends.agent.dropped > 50
        received = []
        async with asyncio.timeout(5.0):
            while RemoveReader(7) not in received:
                await asyncio.sleep(0)
                message = child.receive(0.0)
                received += [message[0]] if message else []
        feeds = [message for message in received if isinstance(message, Feed)]
        while (message := child.receive(0.0)) is not None or (await asyncio.sleep(0)) or ends.agent._offered:
            feeds += [message[0]] if message else []
        assert len(feeds) + ends.agent.dropped == 100
        ends.agent.close()
        with pytest.raises(ChannelClosed):
            child.receive(1.0)
        with pytest.raises(ChannelClosed):
            child.send(Stop())
        child.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack("<IB", 1 << 30, 0),
        struct.pack("<IB", 3, 0) + b"abc",
        struct.pack("<IB", 1, 3) + b"\x80",
        struct.pack("<IB", 10, 0) + msgspec.msgpack.encode({"type": "x"}).ljust(10, b"\0"),
    ],
)
def test_what_is_no_message_ends_the_conversation(sent):
    async def scenario():
        ends = Ends()
        ends.theirs.sendall(sent)
        await settle(lambda: ends.closed)
        assert not isinstance(ends.closed[0], ChannelClosed)
        assert "expected" in str(ends.closed[0])
        ends.theirs.close()

    asyncio.run(scenario())


def test_no_descriptors_are_taken_from_an_untrusted_sender():
    async def scenario():
        ends = Ends(take_fds=False)
        child = ends.child()
        before = open_descriptors()
        child.send(Stop(), [0, 1])
        await settle(lambda: ends.closed)
        assert "found 0" in str(ends.closed[0])
        assert open_descriptors() <= before
        child.close()

    asyncio.run(scenario())


def test_a_child_that_offers_is_not_held_up_by_an_agent_that_does_not_read():
    ours, theirs = socket_pair()
    child = Channel(theirs, ToAlgorithm, 1000)
    sent = 0
    while child.offer(RemoveReader(sent)):
        sent += 1
        assert sent < 1_000_000
    reader = Channel(ours, ToSampler, 1000)
    for number in range(sent):
        assert reader.receive(1.0) == (RemoveReader(number), [])
    assert child.offer(RemoveReader(-1))
    assert reader.receive(1.0) == (RemoveReader(-1), [])
    child.close()
    reader.close()
