"""Connections to the commissioning page: what no browser says, slow ones, silent ones, and too many."""

import asyncio
import socket
import time

import pytest

from agent.commissioning import web
from agent.commissioning.listening import open_at
from agent.commissioning.web import Answered, Asked, WebServer


async def _hello(_asked: Asked) -> Answered:
    return Answered(200, b"hello")


def over_a_connection(talk):
    """Let `talk` speak with a server through a socket, in a thread; return what it returns."""

    async def main():
        server, loop = WebServer(_hello), asyncio.get_running_loop()
        door = open_at("127.0.0.1", 0)

        def accept():
            server.serve(door.accept()[0])

        loop.add_reader(door, accept)
        try:
            return await asyncio.to_thread(talk, door.getsockname())
        finally:
            loop.remove_reader(door)
            door.close()
            await server.close()

    return asyncio.run(main())


def say(address, *parts):
    with socket.create_connection(address, timeout=5) as sock:
        answer = b""
        for part in parts:
            sock.sendall(part)
        sock.shutdown(socket.SHUT_WR)
        while piece := sock.recv(65536):
            answer += piece
        return answer


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200"),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", b"HTTP/1.1 431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n" + b"x" * 20_000, b"HTTP/1.1 413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b""),
        (b"", b""),
    ],
)
def test_what_no_browser_says_is_answered_or_cut_off_and_harms_nobody(sent, answered):
    def talk(address):
        try:
            first = say(address, sent)
        except ConnectionError:
            first = b""
        return first, say(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    first, second = over_a_connection(talk)
    assert first.startswith(answered)
    assert second.endswith(b"hello")


def test_connections_are_few_and_slow_ones_are_cut_off(monkeypatch):
    monkeypatch.setattr(web, "ASKING", 0.3)

    def talk(address):
        held = [socket.create_connection(address, timeout=5) for _ in range(web.MOST_CONNECTIONS + 3)]
        for sock in held:
            sock.sendall(b"GET / HT")
        began = time.monotonic()
        ends = 0
        for sock in held:
            try:
                ends += sock.recv(1) == b""
            except ConnectionError:
                ends += 1
            sock.close()
        return ends, time.monotonic() - began, say(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    ends, seconds, after = over_a_connection(talk)
    assert ends == web.MOST_CONNECTIONS + 3
    assert seconds < 5
    assert after.endswith(b"hello")


def test_silent_connections_do_not_shut_the_page():
    def from_(own, address):
        return socket.create_connection(address, timeout=5, source_address=(own, 0))

    def talk(address):
        silent = [from_(f"127.0.0.{2 + number // 8}", address) for number in range(40)]
        served = []
        for own in ("127.0.0.1", "127.0.0.2"):  # an installer; and somebody behind the very address that is silent
            with from_(own, address) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                served.append(sock.makefile("rb").read())
        for sock in silent:
            sock.close()
        return served

    began = time.monotonic()
    assert all(answer.endswith(b"hello") for answer in over_a_connection(talk))
    assert time.monotonic() - began < web.ASKING / 2


def test_one_address_holds_no_more_than_its_part():
    """Requests that are being answered are not cut off for others; one address cannot have all the room."""

    async def main():
        asked, go = asyncio.Semaphore(0), asyncio.Event()

        async def slow(_asked):
            asked.release()
            await go.wait()
            return Answered(200, b"hello")

        server, loop = WebServer(slow), asyncio.get_running_loop()
        door = open_at("127.0.0.1", 0)
        loop.add_reader(door, lambda: server.serve(door.accept()[0]))
        request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        try:
            many = []
            for own, count in (("127.0.0.2", web.MOST_OF_ONE), ("127.0.0.3", 1)):
                for _ in range(count):
                    many.append(await asyncio.open_connection(*door.getsockname(), local_addr=(own, 0)))
                    many[-1][1].write(request)
                    await asyncio.wait_for(asked.acquire(), 5)
            reader, writer = await asyncio.open_connection(*door.getsockname(), local_addr=("127.0.0.2", 0))
            writer.write(request)
            refused = await asyncio.gather(asyncio.wait_for(reader.read(), 5), return_exceptions=True)
            go.set()
            answers = [await asyncio.wait_for(one.read(), 5) for one, _ in many]
            for _, end in [*many, (reader, writer)]:
                end.close()
                await asyncio.gather(end.wait_closed(), return_exceptions=True)
            return refused, answers
        finally:
            loop.remove_reader(door)
            door.close()
            await server.close()

    (refused,), answers = asyncio.run(main())
    assert refused == b"" or isinstance(refused, ConnectionError)
    assert all(answer.endswith(b"hello") for answer in answers)
