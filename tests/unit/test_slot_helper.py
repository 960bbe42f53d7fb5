"""What the helper that writes root slots takes from whom, and how long it waits for an agent's judgement."""

import asyncio
import contextlib
import os
import socket
import threading

import msgspec
import pytest

from agent.errors import SlotError
from agent.store import Store
from agent.trust.decisions import Reading
from agent.updates.image_journal import ImageJournal
from agent.updates.slots import command
from agent.updates.slots.client import NoSlots, SlotClient
from agent.updates.slots.command import APART, PATIENCE, START, look, pinned, serve
from agent.updates.slots.desk import Desk, Surroundings
from agent.updates.slots.messages import STATUS, TRY, WRITE, SlotAnswer, SlotRequest
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Configuration
from device_catalog.contract.image_rules import LONGEST_IMAGE_PROBATION
from tests.support.image_world import WELL, World, at_once
from tests.support.quick_loop import run_quickly, until


def test_the_longest_probation_that_may_be_asked_for_ends_before_an_image_is_overdue(tmp_path):
    world = World(tmp_path)
    world.flash()
    setting = msgspec.structs.replace(world.publish("1.1.0", 2), probation=LONGEST_IMAGE_PROBATION)
    assert problems_of(Configuration(image=setting), "c") == []
    longer = msgspec.structs.replace(setting, probation=LONGEST_IMAGE_PROBATION + 1.0)
    (problem,) = problems_of(Configuration(image=longer), "c")
    assert problem.where == "c.image.probation"

    async def story():
        await world.run(setting)
        assert world.boot() == "1.1.0"
        world.well = WELL._replace(sampling=False)
        begin = asyncio.get_running_loop().time()
        await world.run(setting)
        assert world.restarts == 2
        assert asyncio.get_running_loop().time() - begin < PATIENCE - START + 10.0

    run_quickly(story())


def test_a_start_that_the_boot_record_refused_is_none_that_the_image_failed(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.flash()
    setting = world.publish("1.1.0", 2)
    refusals = 5
    mark = world.slots.mark

    def refusing(verb, slot=""):
        nonlocal refusals
        if verb == "try" and refusals:
            refusals -= 1
            raise SlotError("`slot try B`: expected a record that can be written, found a read-only card")
        mark(verb, slot)

    monkeypatch.setattr(world.slots, "mark", refusing)

    def is_told(images):
        report = images.report()
        return report and report.update and "read-only card" in report.update.reason

    async def story():
        assert (await world.run(setting, is_told)).report().update.step == "installed"
        await world.run(setting)
        assert (refusals, world.restarts, world.slots.record.armed) == (0, 1, "B")
        assert ImageJournal(Store(world.folder / "agent"), at_once).entry.trial.starts == 1

    run_quickly(story())


@contextlib.contextmanager
def as_somebody(folder):
    """Be somebody who may not look into a folder, also where tests run as root."""
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_only_where_there_is_no_socket_a_device_has_no_slots(tmp_path):
    path = tmp_path / "run" / "slots.sock"
    with pytest.raises(NoSlots, match="No such file"):
        SlotClient(path).ask(SlotRequest(STATUS))
    path.parent.mkdir()
    with as_somebody(path.parent), pytest.raises(SlotError, match="that socket's group") as denied:
        SlotClient(path).ask(SlotRequest(STATUS))
    with socket.socket(socket.AF_UNIX) as listener:  # bound, and nobody listens
        listener.bind(str(path))
        with pytest.raises(SlotError, match="found: Connection refused") as refused:
            SlotClient(path).ask(SlotRequest(STATUS))
    for found in (denied, refused):
        assert not isinstance(found.value, NoSlots)
        assert found.value.passing


def test_a_helper_that_is_away_for_a_while_fails_no_image(tmp_path):
    world = World(tmp_path)
    world.flash()
    setting = world.publish("1.1.0", 2)
    (tmp_path / "slots.sock").write_bytes(b"")
    images = world.agent()
    images._slots = SlotClient(tmp_path / "slots.sock")

    async def story():
        images.want(setting)
        task = asyncio.ensure_future(images.hold())
        await until(lambda: images.report() is not None and images.report().last_error, step=1.0)
        assert images.report().update is None
        images._slots = world
        await until(lambda: world.off, step=1.0)
        task.cancel()
        assert world.restarts == 1

    run_quickly(story())


@contextlib.contextmanager
def answering(desk):
    """A connection to a helper that serves it; gives the other end, which gets what it answered."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=(desk, theirs), daemon=True)
        thread.start()
        ours.settimeout(10)
        yield ours
        thread.join(10)
        assert not thread.is_alive()


def test_the_helper_waits_for_no_pipe_that_the_agent_hands_over(tmp_path):
    world = World(tmp_path)
    world.flash()
    reading, writing = os.pipe()  # open for writing: reading from it has no end
    plain = os.open(world.folder / "about.json", os.O_RDONLY)
    surroundings = Surroundings(tmp_path, tmp_path, tmp_path, bytes, bytes, lambda: Reading(0.0, False))
    with answering(Desk(world.slots, surroundings)) as connection:
        socket.send_fds(connection, [msgspec.json.encode(SlotRequest(WRITE, "x", "1.0.0")) + b"\n"], [plain, reading])
        assert b"expected plain files" in connection.recv(4096)
    for one in (reading, writing, plain):
        os.close(one)


def test_a_root_of_trust_is_read_only_from_a_plain_file(tmp_path):
    pipe, link, plain = (tmp_path / name for name in ("pipe.json", "link.json", "root.json"))
    os.mkfifo(pipe)
    plain.write_bytes(b'{"signed": {"_type": "root"}}')
    link.symlink_to(plain)
    state = tmp_path / "state"
    state.mkdir()
    assert pinned(state, [pipe, link]) == b""
    assert pinned(state, [pipe, link, plain]) == plain.read_bytes()


@pytest.mark.parametrize(
    ("found", "left"), [([False, False, True], False), ([False] * 6, True), ([True], False), ([True, False], False)]
)
def test_an_agent_that_is_just_being_restarted_costs_no_image(tmp_path, found, left):
    world = World(tmp_path)
    world.flash()
    setting = world.publish("1.1.0", 2)
    run_quickly(world.run(setting))
    world.boot()
    surroundings = Surroundings(
        world.folder / "helper", world.folder / "about.json", tmp_path, bytes, bytes, lambda: Reading(0.0, False)
    )
    waited = []
    looks = iter(found)
    assert look(Desk(world.slots, surroundings), 1e12, lambda: next(looks), waited.append) == 0
    assert world.ask(SlotRequest(STATUS)).running.state == ("failed" if left else "written")
    assert sum(waited) == APART * (min(len(found), 6) - 1 if not found[0] else 0)


def test_where_nothing_is_on_trial_nobody_is_looked_for(tmp_path):
    world = World(tmp_path)
    world.flash()
    surroundings = Surroundings(tmp_path, tmp_path, tmp_path, bytes, bytes, lambda: Reading(0.0, False))
    assert look(Desk(world.slots, surroundings), 0.0, lambda: pytest.fail("nobody needs to run")) == 0


@pytest.mark.parametrize("restart", ["/nothing/restarts", "sleep 9"])
def test_a_restart_that_cannot_be_asked_for_is_told_and_may_pass(tmp_path, monkeypatch, restart):
    monkeypatch.setattr(command, "LONGEST", 0.2)
    world = World(tmp_path)
    world.flash()
    run_quickly(world.run(world.publish("1.1.0", 2)))
    surroundings = Surroundings(
        *(world.folder / "helper", world.folder / "about.json", tmp_path, bytes),
        *(lambda: command._run(restart.split()), lambda: Reading(0.0, False)),
    )
    world.slots.mark("bad", "B")
    with answering(Desk(world.slots, surroundings)) as connection:
        connection.sendall(msgspec.json.encode(SlotRequest(TRY)) + b"\n")
        answer = msgspec.json.decode(connection.recv(4096), type=SlotAnswer)
    assert (answer.error.partition(" of ")[0], answer.passing) == ("expected an answer", True)
    assert not world.slots.record.armed
