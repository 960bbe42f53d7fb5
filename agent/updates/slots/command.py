"""
``tresma-agent slots``: the helper's process, one for each connection, started by the service manager as root.

Where it stands: wires `desk`. The connection is standard input (``Accept=yes``), or this process listens by itself
where there is no service manager. ``--overdue`` is for the timer that leaves an image which nobody confirmed: because
the agent does not come up in it at all, or goes on and on without an answer.

Rules: what the agent hands over, and what stands where it may write, is read only where it is a plain file: anything
else may never begin or never end, and whoever waits for it keeps the slots from everybody.
"""

import argparse
import contextlib
import logging
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from agent.errors import SlotError
from agent.files import write_durably
from agent.updates.image_health import AWAY, GRACE
from agent.updates.slots.arguments import ROOTS
from agent.updates.slots.backend import LONGEST, CommandBackend
from agent.updates.slots.desk import Desk, Surroundings, reading
from agent.updates.slots.messages import MAXIMUM_LINE, SlotAnswer, SlotRequest
from device_catalog.contract.image_rules import LONGEST_IMAGE_PROBATION
from device_catalog.contract.trust import MAXIMUM_ROOT

AGENT = ("systemctl", "--quiet", "is-active", "tresma-agent.service")
START = 600.0
"""So long after the machine its agent may start, on the slowest card [s]."""
PATIENCE = START + LONGEST_IMAGE_PROBATION + AWAY + GRACE
"""So long after the start an image may remain unconfirmed while the agent runs: by then that has judged it [s]."""
_QUIET = 120.0
_STEP = 0.02
LOOKS, APART = 6, 20.0
"""An agent that is being restarted does not run for a moment: it is looked for so often, so far apart [s]."""


def run(options: argparse.Namespace) -> int:
    """Serve one connection, listen for many, or look whether a trial is overdue."""
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s", stream=sys.stderr)
    places = tuple(options.root or ROOTS)
    surroundings = Surroundings(
        options.state,
        options.about,
        options.health,
        lambda: pinned(options.state, places),
        lambda: _run(options.restart),
        reading,
    )
    desk = Desk(CommandBackend(options.slot), surroundings)
    if options.overdue:
        return look(desk, PATIENCE if options.patience is None else options.patience, _agent_runs)
    if options.socket is not None:
        _listen(desk, options.socket)
        return 0
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as connection:
        serve(desk, connection)
    return 0


def serve(desk: Desk, connection: socket.socket) -> None:
    """Answer the one request of a connection."""
    connection.settimeout(_QUIET)
    files: list[BinaryIO] = []
    try:
        with contextlib.ExitStack() as opened:
            line, descriptors, _, _ = socket.recv_fds(connection, MAXIMUM_LINE, 2)
            files = [opened.enter_context(os.fdopen(one, "rb")) for one in descriptors]
            if not all(map(_is_plain, files)):
                _say(connection, SlotAnswer(error="expected plain files beside the request, found something else"))
                return
            while b"\n" not in line and len(line) < MAXIMUM_LINE:
                more = connection.recv(MAXIMUM_LINE)
                if not more:
                    return
                line += more
            answer = _answer(desk, line, files, connection)
        _say(connection, answer)
    except OSError as error:
        logging.getLogger(__name__).warning("the connection ended: %s", error.strerror or error)


def pinned(state: Path, places: Sequence[Path]) -> bytes:
    """
    Give the root of trust that was pinned; at first that of the first place which has one, which is pinned then.

    What is pinned is nobody's to change but root's. Newer roots follow from it by their signatures.
    """
    kept = state / "root.json"
    for path in (kept, *places):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                root = file.read(MAXIMUM_ROOT + 1) if _is_plain(file) else b""
            if len(root) > MAXIMUM_ROOT or msgspec.json.decode(root)["signed"]["_type"] != "root":
                continue
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            continue
        if path != kept:
            write_durably(kept, root)
        return root
    return b""


def _is_plain(file: BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _answer(desk: Desk, line: bytes, files: list[BinaryIO], connection: socket.socket) -> SlotAnswer:
    told = 0.0

    def tell(share: float) -> None:
        nonlocal told
        if share - told >= _STEP:
            told = share
            _say(connection, SlotAnswer(progress=round(share, 3)))  # whoever asked and is gone ends the work here

    try:
        return SlotAnswer(status=desk.answer(msgspec.json.decode(line, type=SlotRequest), files, tell))
    except msgspec.DecodeError as error:
        return SlotAnswer(error=f"expected a request, found: {error}")
    except SlotError as error:
        return SlotAnswer(error=str(error), passing=error.passing)


def _say(connection: socket.socket, answer: SlotAnswer) -> None:
    connection.sendall(msgspec.json.encode(answer) + b"\n")


def _listen(desk: Desk, path: Path) -> None:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen(4)
        while True:
            connection, _ = listener.accept()
            with connection:
                serve(desk, connection)


def look(desk: Desk, patience: float, runs: Callable[[], bool], wait: Callable[[float], None] = time.sleep) -> int:
    """
    Leave an image on trial: soon where the agent does not run, and in any case after a while.

    Parameters
    ----------
    desk : Desk
    patience : float
        After the start [s].
    runs : callable
        Tells whether the agent runs.
    wait : callable, optional
        Waits so long [s].

    Raises
    ------
    SlotError
        When the slots cannot be asked; the timer has it tried again.
    """
    if not desk.is_on_trial():
        return 0
    found = runs()
    for _ in range(LOOKS - 1):  # one that is just being started anew comes back
        if found:
            break
        wait(APART)
        found = runs()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    if found and uptime < patience:
        return 0
    reason = f"nobody confirmed it within {uptime / 60:.0f} min"
    if not found:
        reason = f"the agent did not run in it {uptime / 60:.0f} min after the start"
    desk.leave_if_overdue(reason)
    return 0


def _agent_runs() -> bool:
    try:
        return _run(AGENT) == 0
    except SlotError as error:  # nobody who manages services answers
        logging.getLogger(__name__).warning("whether the agent runs is not known: %s", error)
        return False


def _run(command: Sequence[str]) -> int:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, check=False, timeout=LONGEST).returncode  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        found = getattr(error, "strerror", None) or f"nothing within {LONGEST:g} s"
        raise SlotError(f"expected an answer of {' '.join(command)}, found: {found}", passing=True) from error
