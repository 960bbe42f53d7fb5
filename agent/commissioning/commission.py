"""
``tresma-agent commission``: the command that serves the commissioning page, or opens it again.

The page's process (`serving`) is apart from the agent, which measures on whatever happens here: it has numpy, a port
and visitors, and neither a credential nor a key. It ends by itself when the catalog has accepted a report, and does not
begin again until somebody reopens it; that much is known here before anything large is loaded.
"""

import argparse
import asyncio
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from agent.commissioning.messages import WANTED
from agent.commissioning.settings import read_settings
from agent.commissioning.state import PageState
from agent.errors import AgentError, ConfigError
from algorithms.api.errors import Problem, shortened

UNIT = "tresma-commissioning.service"
RUNTIME = Path("/run/tresma")
SETTINGS = Path("/etc/tresma/commissioning.yaml")
STATE = Path("/var/lib/tresma-commissioning")


def run(options: argparse.Namespace) -> int:
    """Serve the page until the commissioning is over, or open it again."""
    runtime = options.runtime or RUNTIME
    state = PageState(options.state_dir or _folder("STATE_DIRECTORY", STATE), runtime / WANTED)
    if options.reopen:
        return _reopen(state)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(message)s")
    if state.is_over:
        sys.stderr.write("tresma-agent: this meter is commissioned; tresma-agent commission --reopen opens the page\n")
        return 0
    settings = read_settings(options.settings or _folder("CREDENTIALS_DIRECTORY", SETTINGS.parent) / SETTINGS.name)
    from agent.commissioning.serving import serve  # noqa: PLC0415 - numpy, only where there is something to serve

    asyncio.run(serve(settings, state, runtime, _address(options.listen)))
    return 0


def _reopen(state: PageState) -> int:
    """Begin another commissioning, and have the service manager start the page where there is one."""
    try:
        state.reopen(time.time())
    except OSError as error:
        found = error.strerror or str(error)
        raise ConfigError([Problem("state", "a folder that may be written", found, "run as root")]) from error
    systemctl = shutil.which("systemctl")
    if systemctl is None or not Path("/run/systemd/system").is_dir():
        sys.stdout.write("The page may be opened: tresma-agent commission\n")
        return 0
    command = [systemctl, "restart", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own unit
    if done.returncode:
        raise AgentError(f"expected {UNIT} to start, found: {shortened(done.stderr, 200)}")
    sys.stdout.write("The page is open.\n")
    return 0


def _folder(variable: str, otherwise: Path) -> Path:
    given = os.environ.get(variable, "").partition(":")[0]
    return Path(given) if given else otherwise


def _address(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and len(port) < 6):
        raise ConfigError([Problem("--listen", "an address and a port, such as 127.0.0.1:8090", shortened(text))])
    return host.strip("[]"), int(port)
