"""Requests that block wait in a thread of their own, which nobody waits for at the end."""

import asyncio
import subprocess
import sys
import threading

import pytest

from agent.request_thread import RequestThread

HANGS = """
import asyncio, threading
from agent.request_thread import RequestThread

async def main():
    requests = RequestThread()
    task = asyncio.get_running_loop().create_task(requests.run(threading.Event().wait))
    await asyncio.sleep(0.1)
    task.cancel()
    requests.close()

asyncio.run(main())
"""


def test_calls_run_one_after_the_other_and_give_what_they_return_or_raise():
    async def go():
        requests = RequestThread()
        names = await asyncio.gather(*(requests.run(lambda: threading.current_thread().name) for _ in range(3)))
        assert set(names) == {"catalog"}
        with pytest.raises(ZeroDivisionError):
            await requests.run(lambda: 1 // 0)
        assert await requests.run(lambda: 7) == 7
        requests.close()

    asyncio.run(go())


def test_a_call_nobody_waits_for_any_more_is_not_begun():
    async def go():
        requests = RequestThread()
        gate, done = threading.Event(), []
        first = asyncio.ensure_future(requests.run(gate.wait))
        second = asyncio.ensure_future(requests.run(lambda: done.append(1)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await first
        assert await requests.run(lambda: len(done)) == 0
        requests.close()

    asyncio.run(go())


def test_a_call_that_never_returns_does_not_keep_the_process():
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=20)
