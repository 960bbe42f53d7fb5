"""
What the commissioning page is told on this machine: its PIN, its name, and where it may be reached.

Read from ``commissioning.yaml``, which is written when the meter is set up from its card. A file that says something
wrong opens no page: every problem is told.
"""

import re
import socket
from pathlib import Path
from typing import NamedTuple

import yaml

from agent.errors import ConfigError
from algorithms.api.errors import Problem, shortened

MAXIMUM_LENGTH = 16 * 1024
"""Longest file read [bytes]."""

PORT = 80
MAXIMUM_INTERFACES = 16

_keys = ("pin", "name", "interfaces", "port")
_pin = re.compile(r"[0-9]{6,12}")
_name = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_interface = re.compile(r"[A-Za-z0-9_.@-]{1,15}")


class PageSettings(NamedTuple):
    """
    What the page goes by.

    Attributes
    ----------
    pin : str
        6 to 12 digits; printed on the label.
    name : str
        The host name, without ``.local``.
    interfaces : tuple of str
        Where the page answers on every address; elsewhere only between link-local addresses.
    port : int
    """

    pin: str
    name: str
    interfaces: tuple[str, ...] = ()
    port: int = PORT


def read_settings(path: Path) -> PageSettings:
    """
    Read the page's settings.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    document = _document(path)
    problems = [
        Problem(f"{path.name}: {shortened(key, 40)}", f"one of {', '.join(_keys)}", "another key", "remove it")
        for key in document
        if key not in _keys
    ]
    pin = str(document.get("pin", ""))
    if not _pin.fullmatch(pin):
        found = "none" if not pin else f"{len(pin)} characters"
        problems.append(Problem(f"{path.name}: pin", "6 to 12 digits, in quotation marks", found))
    name = str(document.get("name") or socket.gethostname().partition(".")[0]).lower()
    if not _name.fullmatch(name):
        problems.append(Problem(f"{path.name}: name", "a host name without dots", shortened(name)))
    interfaces = document.get("interfaces", [])
    if (
        not isinstance(interfaces, list)
        or len(interfaces) > MAXIMUM_INTERFACES
        or not all(isinstance(one, str) and _interface.fullmatch(one) for one in interfaces)
    ):
        problems.append(Problem(f"{path.name}: interfaces", "a list such as [eth1, ap0]", shortened(interfaces)))
        interfaces = []
    port = document.get("port", PORT)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        problems.append(Problem(f"{path.name}: port", "a number from 1 to 65535", shortened(port)))
        port = PORT
    if problems:
        raise ConfigError(problems)
    return PageSettings(pin, name, tuple(interfaces), port)


def _document(path: Path) -> dict[str, object]:
    expected = "a YAML file with the page's PIN"
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_LENGTH + 1)
        document = yaml.safe_load(data) if len(data) <= MAXIMUM_LENGTH else None
    except OSError as error:
        raise ConfigError([Problem(str(path), expected, error.strerror or str(error))]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError([Problem(str(path), expected, "no YAML")]) from error
    if not isinstance(document, dict):
        raise ConfigError([Problem(str(path), expected, "something else")])
    return {str(key): value for key, value in document.items()}
