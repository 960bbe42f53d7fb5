"""
Which catalog, with which token: options win over the environment, which wins over a file.

The file is ``~/.config/tresma/operator.yaml`` (or what ``TRESMA_OPERATOR_FILE`` names)::

    catalog: https://catalog.example.org
    token: ...            # or token_file: a path
    grid: mqtt://broker.example.org:1883    # only where `tresma watch` must not ask the catalog
    data: mqtt://broker.example.org:1884
    ca: /etc/ssl/dso.pem  # only where the system does not trust the servers by itself
    identity: /home/me/.config/tresma/reader.pem    # key and certificate for brokers that ask for one

The token is never shown: not in a message, not in a `repr`.
"""

import difflib
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import yaml

from algorithms.api.errors import Problem, shortened
from device_catalog.operator.errors import UsageError

MAXIMUM_LENGTH = 64 * 1024
"""Longest settings file read [bytes]."""

KEYS = {
    "catalog": "TRESMA_CATALOG",
    "token": "TRESMA_TOKEN",
    "token_file": "TRESMA_TOKEN_FILE",
    "grid": "TRESMA_GRID",
    "data": "TRESMA_DATA",
    "ca": "TRESMA_CA",
    "identity": "TRESMA_IDENTITY",
}
"""Settings, each with its environment variable."""


class Trust(NamedTuple):
    """Files of the authorities that vouch for servers, and of the key and certificate to show; empty for none."""

    ca: str = ""
    identity: str = ""

    def context(self) -> ssl.SSLContext:
        """
        Make the context for a connection to a broker.

        Raises
        ------
        UsageError
            When a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca or None)
            if self.identity:
                context.load_cert_chain(Path(self.identity).expanduser())
        except OSError as error:  # an ssl.SSLError is one
            found = getattr(error, "reason", "") or error.strerror or "something else"
            files = " and ".join(name for name in self if name)
            raise UsageError(f"expected certificates (PEM) in {files}, found: {found}") from error
        return context


class Settings(msgspec.Struct, frozen=True):
    """
    Where the catalog and the brokers are, and how to be let in.

    Attributes
    ----------
    catalog : str
        Base address without a slash at the end; empty where none is known.
    token : str
    grid, data : str
        Broker endpoints; empty to ask the catalog.
    ca : str
        File of the authorities that vouch for the servers; empty for the system's own.
    identity : str
        File with key and certificate for brokers (`tresma-catalog authority client` makes one); empty for none.
    """

    catalog: str = ""
    token: str = ""
    grid: str = ""
    data: str = ""
    ca: str = ""
    identity: str = ""

    @property
    def trust(self) -> "Trust":
        """Whom to believe at brokers, and what to show them."""
        return Trust(self.ca, self.identity)

    def __repr__(self) -> str:
        return f"Settings(catalog={self.catalog!r}, grid={self.grid!r}, data={self.data!r}, ca={self.ca!r})"


def default_file(environment: Mapping[str, str]) -> Path:
    """Return where the settings file is."""
    if named := environment.get("TRESMA_OPERATOR_FILE"):
        return Path(named)
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    return Path(base) / "tresma" / "operator.yaml"


def read_settings(options: Mapping[str, str | None], environment: Mapping[str, str] | None = None) -> Settings:
    """
    Put together what options, environment and file say.

    Parameters
    ----------
    options : mapping
        By the names of `KEYS`; None where an option was not given.
    environment : mapping or None
        This process's own where None.

    Raises
    ------
    UsageError
        Naming everything that is wrong.
    """
    environment = os.environ if environment is None else environment
    path = default_file(environment)
    values: dict[str, Any] = _file(path)
    problems = _unknown(values, str(path))
    said = {name: environment[variable] for name, variable in KEYS.items() if environment.get(variable)}
    for source in (said, {name: value for name, value in options.items() if value}):
        if "token" in source or "token_file" in source:  # either replaces what was said less urgently
            values.pop("token", None)
            values.pop("token_file", None)
        values.update(source)
    problems += [
        Problem(name, "text", shortened(type(value).__name__), "put it in quotes")
        for name, value in values.items()
        if name in KEYS and not isinstance(value, str)
    ]
    if not problems:
        problems += _addresses(values)
    if not problems and not values.get("token") and values.get("token_file"):
        values["token"], problems = _token(Path(values["token_file"]))
    if problems:
        raise UsageError("the operator's settings cannot be used", problems)
    known = {name: values[name] for name in ("catalog", "token", "grid", "data", "ca", "identity") if values.get(name)}
    if "catalog" in known:
        known["catalog"] = known["catalog"].rstrip("/")
    return Settings(**known)


def _file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    if len(text) > MAXIMUM_LENGTH:
        raise UsageError(f"{path}: expected at most {MAXIMUM_LENGTH} bytes, found {len(text)}")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)  # the error's own words would repeat the line, and with it a token
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise UsageError(f"{path}: expected YAML, found something else{where}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"{path}: expected lines such as `catalog: https://...`, found {type(values).__name__}")
    return values


def _unknown(values: Mapping[str, Any], where: str) -> list[Problem]:
    problems = []
    for name in values:
        if name not in KEYS:
            near = difflib.get_close_matches(str(name), KEYS, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            problems.append(Problem(f"{where}: {shortened(name, 40)}", ", ".join(KEYS), "an unknown setting", remedy))
    return problems


def _addresses(values: Mapping[str, str]) -> list[Problem]:
    problems = []
    for name, schemes in (("catalog", ("http", "https")), ("grid", ("mqtt", "mqtts")), ("data", ("mqtt", "mqtts"))):
        address = values.get(name, "")
        if not address:
            continue
        expected = f"an address such as {schemes[1]}://host:port"
        try:
            parts = urlsplit(address)
            right = parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            right = False
        if not right:
            problems.append(Problem(name, expected, shortened(address), f"begin with {' or '.join(schemes)}"))
    return problems


def _token(path: Path) -> tuple[str, list[Problem]]:
    try:
        token = path.expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        return "", [Problem("token_file", "a file that can be read", f"{path}: {reason}", "check path and permissions")]
    if not token or len(token) > 4096 or not token.isprintable():
        return "", [Problem("token_file", "one line with the token", f"{path}: something else")]
    return token, []
