"""What is rehearsed before anything is forked leaves the process as it was, and is done often enough."""

from pathlib import Path

from agent.processes import sandbox
from agent.processes.rehearsal import TIMES, Rehearsed, rehearse

STATED = ("Uid", "Groups", "CapEff", "NoNewPrivs", "Seccomp", "Threads")


def stated():
    """Read what confines this process, and how many files it has open."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = [line for line in lines if line.partition(":")[0] in STATED]
    return found, len(list(Path("/proc/self/fd").iterdir()))


def test_a_rehearsal_leaves_nothing_open_and_nothing_confined():
    sandbox.prepare()
    before = stated()
    rehearse()
    assert stated() == before


def test_everything_is_done_often_enough_for_the_code_to_be_as_it_stays(monkeypatch):
    taken = []
    process = Rehearsed.process
    monkeypatch.setattr(Rehearsed, "process", lambda self, record: taken.append(record) or process(self, record))
    rehearse()
    assert TIMES >= 16
    assert len(taken) > TIMES
