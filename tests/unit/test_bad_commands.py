"""Commands that are not obeyed, by the hundred: whoever may publish them must not fill the journal."""

from types import SimpleNamespace

from agent.clock import SystemClock
from agent.config import AgentConfig
from agent.service import BAD_COMMANDS, Service
from agent.store import Store


def test_commands_that_are_not_obeyed_cost_a_few_lines_a_minute(tmp_path, caplog):
    service = Service(
        AgentConfig("m-1", "http://127.0.0.1:1", "x", tmp_path),
        store=Store(tmp_path),
        outbox=SimpleNamespace(boot=1),
        workers=None,
        catalog=None,
        clock=SystemClock(),
        manager=None,
    )
    for number in range(20 * BAD_COMMANDS):
        service._obey(b'{"schema": "command/%d"}' % number, retained=False)
    assert caplog.text.count("a command is not obeyed") == BAD_COMMANDS
    service._checkpoints.close()
