"""Told to stop, an agent stops within seconds and in order, whatever it was waiting for."""

import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.store import Store
from device_catalog.contract.documents import Acquisition, Assignment, Brokers, Configuration, Desired
from tests.support.agent import AgentProcess
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SOON = 6.0
"""How long an agent may take to end [s]; sooner than any of the waits that it is in here."""

SLOW_DRIVER = """
import pathlib, time

class Slow:
    def __init__(self, options):
        pathlib.Path(options["mark"]).touch()
        time.sleep(600.0)
"""


@pytest.fixture
def drivers(tmp_path):
    """A folder with a package that offers a source which takes ten minutes to open."""
    folder = tmp_path / "drivers"
    (folder / "slow-1.0.dist-info").mkdir(parents=True)
    (folder / "slow-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (folder / "slow-1.0.dist-info" / "entry_points.txt").write_text("[tresma.sources]\nslow = slow_driver:Slow\n")
    (folder / "slow_driver.py").write_text(SLOW_DRIVER)
    return folder


@contextmanager
def silent_catalog():
    """Accept connections and never answer; gives the address, and what is set once somebody asked."""
    asked, held = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            try:
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    connection.recv(1)
                    asked.set()
            except OSError:  # the end of the test
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)
        for connection in held:
            connection.close()


def keep(state, **fields):
    """Leave settings as if they had been in force before."""
    brokers = Brokers(grid=(f"mqtt://127.0.0.1:{free_port()}",), data=(f"mqtt://127.0.0.1:{free_port()}",))
    desired = Desired("m-1", "default", 1, datetime.now(UTC), Configuration(brokers=brokers, **fields))
    Store(state).keep_settings(msgspec.json.encode(desired))


def assert_ends_soon(agent):
    """Tell the agent to stop; it must end well, soon, with everything written and nobody left."""
    pids = list(agent.tree())
    process = agent._process
    begin = time.monotonic()
    process.terminate()
    assert process.wait(timeout=30) == 0, agent.said()
    assert time.monotonic() - begin < SOON
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert (agent.state / "outbox.db").exists()
    assert not (agent.state / "outbox.db-wal").exists(), "the outbox was not closed"
    assert "Traceback" not in agent.said()


def test_while_its_processes_are_being_prepared(tmp_path):
    with AgentProcess("m-1", "http://127.0.0.1:1", "secret", state=tmp_path / "state") as agent:
        wait_until(lambda: len(agent.tree()) > 1, "the fork server")
        assert_ends_soon(agent)


def test_while_a_source_takes_long_to_open(tmp_path, drivers):
    mark = tmp_path / "opening"
    keep(tmp_path / "state", acquisition=Acquisition("slow", 6400.0, options={"mark": str(mark)}),
         algorithms=(Assignment("phasors"),))  # fmt: skip
    with AgentProcess(
        "m-1", "http://127.0.0.1:1", "secret", state=tmp_path / "state", prefix=("env", f"PYTHONPATH={drivers}")
    ) as agent:
        wait_until(mark.exists, "the source being opened", timeout=20)
        assert_ends_soon(agent)


def test_while_the_catalog_does_not_answer_the_first_poll(tmp_path):
    with silent_catalog() as (url, asked):  # noqa: SIM117 - one after the other
        with AgentProcess("m-1", url, "secret", state=tmp_path / "state") as agent:
            assert asked.wait(20.0)
            assert_ends_soon(agent)


def test_while_brokers_and_catalog_are_away(tmp_path):
    keep(tmp_path / "state", acquisition=Acquisition("simulated", 6400.0), algorithms=(Assignment("phasors"),))
    with AgentProcess("m-1", "http://127.0.0.1:1", "secret", state=tmp_path / "state") as agent:
        wait_until(lambda: "revision 1 is in force" in agent.said(), "the settings being in force", timeout=20)
        assert_ends_soon(agent)


def test_settings_kept_with_an_algorithm_that_does_not_start_let_the_others_measure(tmp_path):
    algorithms = (Assignment("fasors"), Assignment("phasors", settings={"report_rate": 50}))
    keep(tmp_path / "state", acquisition=Acquisition("simulated", 6400.0), algorithms=algorithms)
    with AgentProcess("m-1", "http://127.0.0.1:1", "secret", state=tmp_path / "state") as agent:
        wait_until(lambda: "revision 1 is in force" in agent.said(), "the settings being in force", timeout=20)
        assert "fasors does not run" in agent.said()
        assert len(agent.workers()) == 2
        wait_until(lambda: agent.said().count("fasors does not run") > 1, "its being tried again")
        assert_ends_soon(agent)


def test_a_folder_of_garbage_is_no_reason_not_to_start(tmp_path):
    state = tmp_path / "state"
    keep(state)
    (state / "settings").unlink()
    (state / "settings").symlink_to("/proc/self/mem")  # reading it is an input/output error
    (state / "settings.before").write_bytes(b"\x00" * 10_000)
    with AgentProcess("m-1", "http://127.0.0.1:1", "secret", state=state) as agent:
        wait_until(lambda: "cannot be reached" in agent.said(), "its asking the catalog", timeout=20)
        assert "settings cannot be read: Input/output error" in agent.said()
        assert "settings.before was damaged" in agent.said()
        assert_ends_soon(agent)
