"""How the agent's command says that it failed: exit statuses of sysexits.h, one sentence on standard error."""

import logging

import pytest

from agent import bootstrap
from agent.__main__ import main


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run", "--no-such-option"], ["check", "--seconds", "soon"]])
def test_wrong_use_is_64_and_shows_how(arguments, capsys):
    assert main(arguments) == 64
    assert "usage: tresma-agent" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["replay", "--help"]])
def test_help_is_no_failure(arguments, capsys):
    assert main(arguments) == 0
    assert "usage: tresma-agent" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_used_is_78_with_a_line_for_each_problem(tmp_path, capsys):
    path = tmp_path / "agent.yaml"
    path.write_text("device: a b\ncatalog: ftp://c\ncredential: x\n")
    assert main(["run", "--config", str(path)]) == 78
    assert [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()] == ["device", "catalog"]


def test_a_bug_is_70_with_a_traceback_for_whoever_mends_it(monkeypatch, caplog):
    monkeypatch.setattr(bootstrap, "run", lambda _config: 1 // 0)
    assert main(["run"]) == 70
    assert "please report it" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_line_in_the_log_shows_control_characters_instead_of_obeying_them():
    """Ends of lines stay: a traceback is read by people."""
    record = logging.LogRecord("agent", logging.ERROR, "", 0, "%s", ("refused: \x1b[2J\nnot authorised",), None)
    assert bootstrap._Formatter("%(message)s").format(record) == "refused: ?[2J\nnot authorised"
