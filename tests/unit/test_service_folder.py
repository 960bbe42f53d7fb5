"""What root types on a meter leaves a folder that its service, another user, can use."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from agent.__main__ import main
from agent.console import enrol_command
from agent.errors import ConfigError
from agent.files import hand_to_owner

SOMEBODY = 65_534
is_root = os.geteuid() == 0


def given_to_somebody(folder: Path) -> Path:
    folder.mkdir()
    if is_root:
        os.chown(folder, SOMEBODY, SOMEBODY)
    return folder


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in folder.rglob("*")}


def test_what_root_wrote_becomes_the_owner_s_and_nothing_behind_a_link_does(tmp_path):
    state = given_to_somebody(tmp_path / "state")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    (state / "identity").mkdir()
    (state / "identity" / "identity.pem").write_text("")
    (state / "link").symlink_to(outside)
    hand_to_owner(state)
    assert owners(state) == {SOMEBODY if is_root else os.geteuid()}
    assert {outside.stat().st_uid, (outside / "file").stat().st_uid} == {os.geteuid()}


def test_a_folder_of_root_s_own_or_none_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("")
    hand_to_owner(tmp_path)
    hand_to_owner(tmp_path / "none")
    assert owners(tmp_path) == {os.geteuid()}


def test_a_command_typed_as_root_hands_over_what_it_made(tmp_path, capsys):
    state = given_to_somebody(tmp_path / "state")
    config = tmp_path / "agent.yaml"
    config.write_text(f"device: m-1\ncatalog: http://127.0.0.1:1\ncredential: word\nstate_dir: {state}\n")
    assert main(["command-key", "--config", str(config)]) == 0
    assert len(capsys.readouterr().out.strip()) == 64
    assert owners(state) == {SOMEBODY if is_root else os.geteuid()}


def test_the_configuration_that_a_package_brings_empty_is_written_by_an_enrolment(tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("# Who this meter is.\n# device: m-0042\n")
    options = Namespace(config=config, state_dir=tmp_path / "state", ca="")
    assert enrol_command._state(options, "m-1", "https://c.example.org") == tmp_path / "state"
    assert enrol_command._write_config(options, "m-1", "https://c.example.org")
    assert yaml.safe_load(config.read_text())["device"] == "m-1"
    with pytest.raises(ConfigError, match="device"):
        enrol_command._state(options, "m-2", "https://c.example.org")
    config.write_text("- no lines\n")
    with pytest.raises(ConfigError, match="something else"):
        enrol_command._write_config(options, "m-1", "https://c.example.org")
