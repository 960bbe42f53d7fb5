"""What is rehearsed before anything is forked leaves the process as it was, and is done often enough."""

import gc
from pathlib import Path

from agent.processes import sandbox
from agent.processes.rehearsal import TIMES, Rehearsed, rehearse

STATED = ("Uid", "Groups", "CapEff", "NoNewPrivs", "Seccomp")


def stated():
    """Read what confines this process, and how many files it has open."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = [line for line in lines if line.partition(":")[0] in STATED]
    return found, len(list(Path("/proc/self/fd").iterdir()))


def test_a_rehearsal_leaves_nothing_open_and_nothing_confined():
    sandbox.prepare()
    gc.collect()  # what other tests left is closed before it is counted
    before, files = stated()
    rehearse()
    after, files_after = stated()
    assert after == before
    assert files_after <= files


def test_everything_is_done_often_enough_for_the_code_to_be_as_it_stays(monkeypatch):
    taken = []
    process = Rehearsed.process
    monkeypatch.setattr(Rehearsed, "process", lambda self, record: taken.append(record) or process(self, record))
    rehearse()
    assert TIMES >= 16
    assert len(taken) > TIMES
