"""A process that may not ask the kernel about its clock hears it from one that may, and believes nothing old."""

import ctypes

import pytest

from hardware import told_clock
from hardware.timebase_clocks import KernelClock, kernel_clock
from hardware.told_clock import BELIEVED, tell, told


def no_wait(_seconds: float) -> None:
    pass


@pytest.mark.parametrize("answer", [(250e-6, -20e-6), (1e-3, None), (None, None)])
def test_what_is_asked_is_what_is_told(tmp_path, answer) -> None:
    file = tmp_path / "quality"
    tell(lambda: answer, file, no_wait, rounds=2)
    assert told(file) == answer
    assert file.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["quality"]


def test_each_round_asks_anew(tmp_path) -> None:
    answers = iter([(1e-3, None), (2e-3, None), (3e-3, None)])
    tell(lambda: next(answers), tmp_path / "quality", no_wait, rounds=3)
    assert told(tmp_path / "quality") == (3e-3, None)


@pytest.mark.parametrize("later", [BELIEVED + 0.1, -1.0])
def test_what_is_old_or_of_another_start_of_the_machine_is_not_believed(tmp_path, monkeypatch, later) -> None:
    file = tmp_path / "quality"
    tell(lambda: (250e-6, None), file, no_wait, rounds=1)
    now = told_clock.uptime_ns() + int(later * 1e9)
    monkeypatch.setattr(told_clock, "uptime_ns", lambda: now)
    assert told(file) == (None, None)


@pytest.mark.parametrize("content", [b"", b"\0" * 31, b"\xff" * 32, b"250 us"])
def test_what_is_no_answer_tells_nothing(tmp_path, content) -> None:
    (tmp_path / "quality").write_bytes(content)
    assert told(tmp_path / "quality") == (None, None)
    assert told(tmp_path / "missing") == (None, None)


def test_a_kernel_that_refuses_the_question_is_not_one_that_follows_nothing(tmp_path, monkeypatch) -> None:
    class Refusing:
        def adjtimex(self, _timex) -> int:
            return -1

    file = tmp_path / "quality"
    tell(lambda: (250e-6, None), file, no_wait, rounds=1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    monkeypatch.setattr("hardware.timebase_clocks.told", lambda: told(file))
    assert kernel_clock() == KernelClock(250e-6, None)
