"""
How far a meter has come on its way into the fleet, as a file: the commissioning page and ``check`` read it.

One sentence says what is wrong, another what to do. ``waiting`` goes on by itself; ``failed`` needs somebody, and looks
again every few minutes all the same; ``done`` may come with a problem that does not keep the meter from its work.
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from agent.provisioning.places import make_folder

PATH = Path("run/tresma/provisioning.json")
"""Below the root of the file system."""
MAXIMUM_LENGTH = 64 * 1024
"""[bytes]"""

WAITING, DONE, FAILED = "waiting", "done", "failed"
CARD, NETWORK, CLOCK, CATALOG, TOKEN, ENROLLED = "card", "network", "clock", "catalog", "token", "enrolled"


class Trouble(msgspec.Struct, frozen=True):
    """
    What keeps a meter from going on.

    Attributes
    ----------
    step : str
        Where: one of the names above.
    problem, remedy : str
        One sentence each, in an installer's words.
    needs_somebody : bool
        Whether waiting alone does not help.
    """

    step: str
    problem: str
    remedy: str = ""
    needs_somebody: bool = False


class Status(msgspec.Struct, frozen=True, tag_field="schema", tag="provisioning/1"):
    """
    How far it is.

    Attributes
    ----------
    state, step : str
        One of the names above each.
    problem, remedy : str
        One sentence each; empty where nothing is wrong.
    problems : tuple of str
        Everything wrong with the files of the card.
    device, label, host, catalog : str
        As the card says; empty where that is not known.
    attempts : int
        How often the catalog was asked.
    retry : float
        When it is asked again [s from `time`]; 0 where it is not.
    time : datetime
        By this machine's clock, which may not be set yet.
    """

    state: str
    step: str
    problem: str = ""
    remedy: str = ""
    problems: tuple[str, ...] = ()
    device: str = ""
    label: str = ""
    host: str = ""
    catalog: str = ""
    attempts: int = 0
    retry: float = 0.0
    time: datetime = datetime(1970, 1, 1, tzinfo=UTC)


def write(status: Status, root: Path) -> None:
    """
    Put a status in the place of the one before, readable by everybody.

    Raises
    ------
    OSError
    """
    path = root / PATH
    make_folder(path.parent)
    now = msgspec.structs.replace(status, time=datetime.now(tz=UTC))
    # The folder is the service's: a name that nobody knows before, so that no link of its stands in root's way.
    number, name = tempfile.mkstemp(prefix=".provisioning-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(msgspec.json.encode(now))
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read(root: Path = Path("/")) -> Status | None:
    """Read the status; None where a meter was not provisioned by a card, or it cannot be read."""
    try:
        with (root / PATH).open("rb") as file:
            return msgspec.json.decode(file.read(MAXIMUM_LENGTH), type=Status)
    except (OSError, msgspec.MsgspecError):
        return None
