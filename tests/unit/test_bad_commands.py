"""Commands that are not obeyed: told, but not by the hundred, and not obeyed later because a clock is set back."""

from types import SimpleNamespace

import pytest

from agent.command_gate import BAD_COMMANDS
from agent.config import AgentConfig
from agent.service import Service
from agent.store import Store
from agent.trust.decisions import RELEASED
from algorithms.api.records import Command
from algorithms.api.wire import NANOSECONDS, Header, encode


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self, utc):
        self._utc = utc

    def now_ns(self):
        return round(self._utc * NANOSECONDS)

    def monotonic(self):
        return 1000.0


def service_in(folder, utc, root=b""):
    return Service(
        AgentConfig("m-1", "http://127.0.0.1:1", "x", folder, root=root),
        store=Store(folder),
        outbox=SimpleNamespace(boot=1),
        workers=SimpleNamespace(ring=list),
        catalog=None,
        clock=SetClock(utc),
        manager=None,
    )


def test_commands_that_are_not_obeyed_cost_a_few_lines_a_minute(tmp_path, caplog):
    service = service_in(tmp_path, RELEASED)
    for number in range(20 * BAD_COMMANDS):
        service._commands.obey(b'{"schema": "command/%d"}' % number, retained=False)
    assert caplog.text.count("a command is not obeyed") == BAD_COMMANDS
    service._checkpoints.close()


@pytest.mark.parametrize("root", [b"", b"root"])
def test_an_order_that_was_held_back_is_not_obeyed_because_the_clock_is_set_back(tmp_path, caplog, root):
    issued = RELEASED - 180 * 86_400
    service = service_in(tmp_path, issued + 20, root)
    issued_ns = round(issued * NANOSECONDS)
    to_switch, to_device = (
        Command("o-1", name, "open", issued_ns, issued_ns + 60 * NANOSECONDS) for name in ("s-1", "m-1")
    )
    service._commands.obey_order(to_switch)
    service._commands.obey(encode(to_device, Header("anna", 1, 1, 1, issued_ns)), retained=False)
    expired = caplog.text.count("command o-1 expired at")
    assert expired == (2 if root else 0)  # without a root of trust there is no trusted time
    service._checkpoints.close()
