"""What an installer and an engineer type: replay and check, as commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.comtrade import write_recording
from tests.support.agent import Plant
from tests.support.recordings import three_phase
from tests.support.simulated_recording import write_simulated

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def agent_command(*arguments, timeout=60):
    return subprocess.run(
        [sys.executable, "-m", "agent", *map(str, arguments)],
        capture_output=True,
        timeout=timeout,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A second of the simulated connection with a dip of phase B, as COMTRADE."""
    return write_simulated(tmp_path_factory.mktemp("recording") / "dip.cfg")


def test_the_same_recording_gives_the_same_bytes_twice(recording):
    first, second = (agent_command("replay", recording, "--set", "phasors.window=3") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    frames = [json.loads(line) for line in first.stdout.splitlines()]
    assert len(frames) > 40
    inside = next(frame for frame in frames if frame["time"].startswith("2026-01-15T12:00:00.6"))
    assert inside["voltage"]["B"][0] == pytest.approx(138.0, rel=1e-3)
    assert inside["voltage"]["A"][0] == pytest.approx(230.0, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("replay", "absent.cfg"), 65, b"no such file"),
        (("replay", "setup.cfg"), 65, b"line 2"),
        (("replay", "absent.cfg", "--set", "phasors"), 78, b"ALGORITHM.NAME=VALUE"),
        (("replay", "absent.cfg", "--set", "fasors.window=3"), 78, b"phasors"),
        (("run", "--config", "absent.yaml"), 78, b"--config"),
    ],
)
def test_wrong_use_is_answered_in_one_sentence_without_a_traceback(arguments, status, word):
    done = agent_command(*arguments)
    assert done.returncode == status
    assert word in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("frequency", "0", b"expected a line frequency of 10 to 100 Hz, found 0"),
        ("frequency", "nan", b"found nan"),
        ("voltage", "0", b"expected a voltage above 0 [V], found 0"),
    ],
)
def test_a_nominal_value_that_is_none_is_refused(recording, option, value, expected):
    done = agent_command("replay", recording, f"--nominal-{option}", value)
    assert done.returncode == 78
    assert expected in done.stderr


def test_a_recording_too_short_for_any_window_says_why_nothing_came_of_it(tmp_path):
    write_recording(tmp_path / "short.cfg", three_phase(n_samples=30))
    done = agent_command("replay", tmp_path / "short.cfg")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"0 messages" in done.stderr
    assert b"longer than a window or interval of phasors, found 0.03 s of samples, 1.5 cycles; a shorter" in done.stderr


def test_a_setting_that_does_not_fit_is_named(recording):
    done = agent_command("replay", recording, "--set", "phasors.window=5")
    assert done.returncode == 78
    assert b"expected one of 3, 4, 10, found 5" in done.stderr


CHANNELS = [
    {"name": name, "quantity": quantity, "phase": phase, "input": name}
    for quantity, letter in (("voltage", "u"), ("current", "i"))
    for phase in "ABC"
    for name in [letter + phase.lower()]
]


def channels(**changed):
    return [{**channel, **changed.get(channel["name"], {})} for channel in CHANNELS]


def checked(plant, device, **acquisition):
    """Register a device, check it without running it, and return the findings by item."""
    acquisition = {"driver": "simulated", "sample_rate": 6400, **acquisition}
    agent = plant.add(device, acquisition=acquisition)
    agent.stop()
    done = agent_command("check", "--config", agent.config, "--json", "--seconds", 1)
    document = json.loads(done.stdout)
    assert done.returncode == (0 if document["passed"] else 1)
    assert b"Traceback" not in done.stderr
    return {finding["item"]: finding for finding in document["findings"]}


def test_the_installers_check_finds_what_is_right_and_names_what_is_wrong():
    with Plant() as plant:
        right = checked(plant, "right")
        assert {item for item, finding in right.items() if finding["verdict"] == "failed"} == set()
        assert {"catalog", "grid broker", "data broker", "source", "phase sequence", "isolation"} <= set(right)

        swapped = checked(plant, "swapped", channels=channels(ib={"input": "ic"}, ic={"input": "ib"}))
        assert swapped["current wiring"]["verdict"] == "failed"
        assert "input B carries phase C" in swapped["current wiring"]["found"]

        turned = checked(plant, "turned", channels=channels(ia={"reversed": True}), direction="load")
        assert turned["current wiring"]["verdict"] == "failed"
        assert "reversed" in turned["current wiring"]["found"]

        feeding = checked(plant, "feeding", options={"apparent_power": 3000.0, "power_factor": -0.98})
        assert feeding["current wiring"]["verdict"] == "ok"

        sequence = checked(plant, "sequence", channels=channels(ub={"input": "uc"}, uc={"input": "ub"}))
        assert sequence["phase sequence"]["verdict"] == "failed"

        dead = checked(plant, "dead", options={"voltage_factors": [1.0, 0.0, 1.0]})
        assert dead["channel ub"]["verdict"] == "failed"

        clipped = checked(plant, "clipped", options={"bits": 12, "voltage_range": 300.0, "current_range": 50.0})
        assert clipped["channel ua"]["verdict"] == "failed"
        assert "end of the range" in clipped["channel ua"]["found"]

        plant.data.stop()
        away = checked(plant, "away")
        assert away["data broker"]["verdict"] == "failed"
        assert away["data broker"]["remedy"]


def test_without_a_catalog_the_check_says_so_and_still_looks_at_the_machine(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("device: m-1\ncatalog: http://127.0.0.1:1\ncredential: x\nstate_dir: ./state\n")
    config.chmod(0o600)
    done = agent_command("check", "--config", config)
    assert done.returncode == 1
    assert b"Connection refused" in done.stdout
    assert b"disk" in done.stdout
    assert b"isolation" in done.stdout
    assert b"-> chmod 600" not in done.stdout
    config.chmod(0o644)
    assert f"-> chmod 600 {config}".encode() in agent_command("check", "--config", config).stdout


def test_a_configuration_that_is_not_there_is_one_item_with_its_remedy_told_once(tmp_path):
    done = agent_command("check", "--config", tmp_path / "absent.yaml")
    assert done.returncode == 1
    assert done.stdout.count(b"name it with --config") == 1
    assert done.stdout.endswith(b"1 item, 0 warnings, 1 failed\n")


def test_a_source_that_cannot_be_had_is_told_with_its_remedy_apart():
    with Plant() as plant:
        source = checked(plant, "nothing", driver="recorded", options={"path": "/absent.cfg"})["source"]
    assert source["verdict"] == "failed"
    assert source["found"].endswith("found no such file")
    assert source["remedy"] == "check the path"
