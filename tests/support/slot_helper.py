"""The helper that writes root slots, as a process over two files; see `tests.support.slot_files`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import SlotError
from agent.updates.slots.client import SlotClient
from agent.updates.slots.messages import STATUS, SlotRequest, SlotStatus
from tests.support.waiting import wait_until


@contextmanager
def helper(folder: Path, root: bytes) -> Iterator[tuple[SlotClient, subprocess.Popen[bytes]]]:
    """Run the helper over `folder`; give a client of it and its process. That a restart was asked for is a file."""
    (folder / "root.json").write_bytes(root)
    command = folder / "slot"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.support.slot_files {folder}/slots "$@"\n')
    command.chmod(0o755)
    path = folder / "slots.sock"
    options = {
        "--socket": [path],
        "--state": [folder / "helper"],
        "--about": [folder / "about.json"],
        "--health": [folder / "health.json"],
        "--root": [folder / "root.json"],
        "--slot": [command],
        "--restart": ["touch", folder / "restarted"],
    }
    words = [str(word) for option, values in options.items() for word in (option, *values)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen([sys.executable, "-m", "agent", "slots", *words], env=environment)
    client = SlotClient(path)
    try:
        wait_until(lambda: answers(client), 60)
        yield client, process
    finally:
        process.kill()
        process.wait()


def answers(client: SlotClient) -> SlotStatus | None:
    try:
        return client.ask(SlotRequest(STATUS))
    except SlotError:  # not there yet, or not yet listening
        return None
