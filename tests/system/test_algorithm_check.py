"""``tresma algorithm check``: in a process of its own, whatever the algorithm does there."""

import msgspec
import pytest

from algorithms.api.wire import Header, encode
from device_catalog.operator.__main__ import main
from device_catalog.packages.skeleton import write_skeleton
from tests.support.packages import NAME, package_of
from tests.support.records_for_tests import frames_with_dip


@pytest.fixture
def folder(tmp_path):
    return write_skeleton(NAME, tmp_path)


@pytest.fixture
def recording(tmp_path):
    lines = [encode(frame, Header("m-1", 1, 1, number, 0, 0)) for number, frame in enumerate(frames_with_dip(), 1)]
    path = tmp_path / "dip.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def checked(capsys, *words):
    capsys.readouterr()
    status = main(["algorithm", "check", "--json", *map(str, words)])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return status, msgspec.json.decode(out)


def changed(folder, before, after):
    path = folder / "voltage_band" / "algorithm.py"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_a_new_algorithm_passes_with_a_recording_and_without(folder, recording, tmp_path, capsys):
    status, answer = checked(capsys, folder, "--recording", recording)
    assert (status, answer["passed"]) == (0, True)
    assert (answer["runs"][0]["records"], answer["runs"][0]["results"]) == (30, {"event": 3})
    name, data = package_of()
    (tmp_path / name).write_bytes(data)
    assert main(["algorithm", "check", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert "passed  isolation" in said
    assert "simulated" in said


def test_settings_are_given_on_the_command_line(folder, recording, capsys):
    _, answer = checked(capsys, folder, "--recording", recording, "--set", "band=0.5")
    assert answer["runs"][0]["results"] == {}
    status, answer = checked(capsys, folder, "--recording", recording, "--set", "band=2")
    assert status == 1
    assert "settings.band: expected a number" in answer["findings"][0]["detail"]


def test_what_breaks_a_rule_is_named(folder, recording, capsys):
    changed(folder, "        events = []\n", "        import time\n        time.time()\n        events = []\n")
    status, answer = checked(capsys, folder, "--recording", recording)
    assert status == 1
    assert [finding["rule"] for finding in answer["findings"] if not finding["passed"]] == ["isolation"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("import os; os._exit(3)", "exit status 3"),
        ("raise SystemExit('enough')", "enough"),
        ("print('x' * 10_000_000)", "File too large"),
        ("b = bytearray(2**33)", "found that it asked for more"),
        ("1 / 0", "ZeroDivisionError"),
        ("while True: pass", "within 3 s, found none"),
    ],
)
def test_whatever_an_algorithm_does_the_operator_gets_a_sentence(folder, recording, capsys, line, words):
    changed(folder, "        events = []\n", f"        {line}\n        events = []\n")
    status, answer = checked(capsys, folder, "--recording", recording, "--timeout", "3")
    assert status == 1
    details = [finding["detail"] for finding in answer["findings"] if not finding["passed"]]
    assert any(word in details[0] for word in words.split("|")), details


def test_a_recording_that_has_nothing_for_it_is_said(folder, tmp_path, capsys):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    _, answer = checked(capsys, folder, "--recording", tmp_path / "empty.jsonl")
    assert "two or more records of frame expected" in answer["findings"][0]["detail"]
    assert main(["algorithm", "check", str(folder), "--recording", str(tmp_path / "none.cfg")]) == 2
