"""A meter's folder with secrets in every place where one could be, for tests of what is told of a meter."""

import json
import os
from pathlib import Path

from agent.files import write_durably
from agent.recording.recordings import Recordings
from agent.store import Store
from device_catalog.contract.signatures import enveloped
from tests.support.recording_labels import info, label

SECRETS = {
    "credential": "Vz8kQ2mX_7LrPc2PqT0aYwB5sDfGhJ1N",
    "token": "tresma-enrol-once-Qx71kLm0Zp",
    "identity": "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3vgLR1J0X0kH5sYb2Wq9Zt6Rv",
    "command key": "MC4CAQAwBQYDK2VwBCIEIP7aQ2mX9LrPc2PqT0aYwB5sDfGhJ1N",
    "unknown field": "pl4nted-in-a-field",
    "unknown key": "pl4nted_as_a_name",
    "option": "pl4nted-in-an-option",
    "setting": "pl4nted-in-a-setting",
    "nested": "pl4nted-in-a-list",
    "address": "pl4nted-in-an-address",
    "log": "pl4nted-in-the-log",
    "journal": "pl4nted-in-the-journal",
    "checkpoint": "pl4nted-in-a-checkpoint",
    "outbox": "pl4nted-in-the-outbox",
    "file name": "pl4nted-as-a-file-name",
    "environment": "pl4nted-in-the-environment",
    "own lines": "pl4nted-in-the-own-lines",
    "report": "pl4nted-in-the-report",
    "link": "pl4nted-behind-a-link",
}
"""By where they are."""


def desired_with_secrets() -> dict[str, object]:
    """Write settings that carry secrets wherever a careless person, or a captured catalog, could put them."""
    return {
        "schema": "desired/1",
        "device": "m-1",
        "tenant": "default",
        "revision": 7,
        "issued": "2026-11-21T10:00:00Z",
        SECRETS["unknown key"]: 1,
        "configuration": {
            "brokers": {"grid": [f"mqtts://user:{SECRETS['address']}@broker.example.org:8883"], "data": []},
            "password": SECRETS["unknown field"],
            "acquisition": {
                "driver": "simulated",
                "sample_rate": 6400,
                "options": {"voltage": 231.5, "wifi": SECRETS["option"], "noise": SECRETS["option"]},
            },
            "algorithms": [
                {
                    "algorithm": "phasors",
                    "settings": {"window": 4, "login": SECRETS["setting"], "report_rate": [SECRETS["nested"]]},
                },
                {"algorithm": "of-nobody-here", "settings": {"threshold": SECRETS["setting"]}},
            ],
        },
        "recordings": [],
    }


def make_meter(folder: Path) -> Path:
    """Make the folder of a meter that ran; return the file with its own lines."""
    state = folder / "state"
    store = Store(state)
    text = json.dumps(desired_with_secrets()).encode()
    store.keep_settings(enveloped(b'{"revision": 6}', "66687aadf862bd77:" + "0f" * 64))
    store.keep_settings(enveloped(text, "66687aadf862bd77:" + "0f" * 64))
    store.keep_checkpoint("energy", SECRETS["checkpoint"].encode())
    recordings = Recordings(state / "recordings")
    for number in range(5):
        data = b"cff" * 1000
        recordings.keep(info(label("m-1", f"2026112{number}T100000000Z", data)), data, 1 << 20)
    (state / "outbox.db").write_text(SECRETS["outbox"])
    (state / SECRETS["file name"]).write_text("")
    identity = state / "identity"
    identity.mkdir()
    pem = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n"
    write_durably(identity / "identity.pem", pem.format(SECRETS["identity"]).encode())
    write_durably(state / "command.key", pem.format(SECRETS["command key"]).encode())
    kept = state / "support"
    kept.mkdir()
    lines = [f"said {SECRETS[name]}" for name in ("credential", "token", "identity", "command key")]
    lines += [f"password={SECRETS['log']}", f"https://u:{SECRETS['log']}@catalog.example.org", "revision 7 is in force"]
    (kept / "agent.log").write_text("\n".join(lines))
    (kept / "health.jsonl").write_text(json.dumps({"problems": [f"token: {SECRETS['report']}"]}) + "\n")
    report = {
        "schema": "reported/1",
        "device": "m-1",
        "isolation": {"landlock": True, "seccomp": False},
        "problems": [f"psk={SECRETS['report']}", "the clock is free"],
        SECRETS["unknown key"]: SECRETS["report"],
    }
    (kept / "status.json").write_text(json.dumps({"noted": "2026-11-21T10:00:00Z", "reported": report}))
    hidden = folder / "hidden"
    hidden.write_text(SECRETS["link"])
    (kept / "health.jsonl.before").symlink_to(hidden)
    (folder / "token").write_text(SECRETS["token"])
    config = folder / "agent.yaml"
    config.write_text(
        f"device: m-1\ncatalog: https://catalog.example.org\ncredential: {SECRETS['credential']}\n"
        f"token_file: token\nstate_dir: {state}\n"
    )
    return config


def fake_programs(folder: Path) -> Path:
    """Make programs of a booted system that say secrets; return the folder to put on the path."""
    folder.mkdir()
    said = f"Nov 21 10:00:00 m-1 tresma-agent[7]: wpa passphrase: {SECRETS['journal']}\\nrevision 7 is in force"
    for name in ("journalctl", "systemctl"):
        program = folder / name
        program.write_text(f"#!/bin/sh\nprintf '{said}\\n'\n")
        program.chmod(0o755)
    return folder


def environment_with(programs: Path) -> dict[str, str]:
    """Give an environment that finds these programs, and has a secret of its own."""
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"),
        "WIFI_PASSWORD": SECRETS["environment"],
    }
