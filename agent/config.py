"""
The agent's own few lines: who it is and where the catalog is. Everything else comes from the catalog.

A configuration file is YAML::

    device: m-0042
    catalog: https://catalog.example.org
    credential_file: /etc/tresma/credential
    root_file: /etc/tresma/root.json

In the place of a credential, ``token_file`` names a token that works once (`tresma devices enrol`): with it the agent
gets a certificate, which it keeps and renews by itself. ``ca_file`` names the authorities that vouch for catalog and
brokers, where neither the system nor the token knows them. ``least_policy`` is the least revision of the DSO's policy
that this meter takes: while what a catalog serves is older, or has no policy, nothing new is believed. A token may name
one, too; the higher counts.

Environment variables (``TRESMA_DEVICE``, ``TRESMA_CATALOG``, ``TRESMA_CREDENTIAL``, ``TRESMA_CREDENTIAL_FILE``,
``TRESMA_TOKEN_FILE``, ``TRESMA_CA_FILE``, ``TRESMA_ROOT_FILE``, ``TRESMA_LEAST_POLICY``, ``TRESMA_STATE_DIR``,
``TRESMA_LOG_LEVEL``) win over the file. It is read once, every problem is said at once, and the result is frozen. The
credential is never written to a log: `AgentConfig` does not show it.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml

from agent.errors import ConfigError
from agent.identity.files import Facts, Identity, token_digest
from algorithms.api.errors import Problem, shortened
from device_catalog.contract.enrolment import is_policy_revision
from device_catalog.contract.trust import MAXIMUM_ROOT

MAXIMUM_LENGTH = 64 * 1024
"""Longest configuration file read [bytes]."""

_keys = (
    "device",
    "catalog",
    "credential",
    "credential_file",
    "token_file",
    "ca_file",
    "root_file",
    "least_policy",
    "state_dir",
    "log_level",
)
_identifier = re.compile(r"[A-Za-z0-9_-]{1,64}")
_levels = ("debug", "info", "warning", "error")


class AgentConfig(msgspec.Struct, frozen=True):
    """
    What an agent is told on its own machine.

    Attributes
    ----------
    device : str
    catalog : str
        Base address, without a slash at the end.
    credential : str
        Empty for a device that has, or gets, a certificate.
    state_dir : pathlib.Path
        Where the outbox, checkpoints and the last good settings are kept.
    log_level : str
    root : bytes
        The root of trust that the DSO gave (TUF root metadata); empty where the catalog is believed whatever it says.
    token_file : str
        File with a token that lets the device in once; empty for none.
    ca : str
        File of authorities that vouch for catalog and brokers; empty for those of the token, or the system's.
    least_policy : int
        The least revision of the DSO's policy that is believed; 0 for any, or none.
    """

    device: str
    catalog: str
    credential: str
    state_dir: Path
    log_level: str = "info"
    root: bytes = b""
    token_file: str = ""
    ca: str = ""
    least_policy: int = 0

    def __repr__(self) -> str:
        return f"AgentConfig(device={self.device!r}, catalog={self.catalog!r}, state_dir={str(self.state_dir)!r})"


def read_config(path: Path | None, environment: Mapping[str, str] | None = None) -> AgentConfig:
    """
    Read the configuration.

    Parameters
    ----------
    path : pathlib.Path or None
        None to take everything from the environment.
    environment : mapping, optional
        ``os.environ`` by default.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    environment = os.environ if environment is None else environment
    problems: list[Problem] = []
    document = {} if path is None else _document(path, problems)
    if problems:
        raise ConfigError(problems)
    values: dict[str, str] = {}
    for key, value in document.items():
        if key not in _keys:
            near = difflib.get_close_matches(str(key), _keys, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            problems.append(Problem(str(key)[:40], f"one of {', '.join(_keys)}", "an unknown key", remedy))
        elif not isinstance(value, str | int) or isinstance(value, bool) or str(value).strip() == "":
            found = "something secret" if key == "credential" else shortened(value)
            problems.append(Problem(key, "a text", found))
        else:
            values[key] = str(value).strip()
    for key in _keys:
        override = environment.get(f"TRESMA_{key.upper()}", "").strip()
        if override:
            values[key] = override
    state = Path(values.get("state_dir") or default_state_dir(values.get("device", ""), environment))
    identity = Identity(state)
    if "root_file" not in values and identity.root.exists():
        values["root_file"] = str(identity.root.absolute())
    root = _checked_root(values, path, problems)
    token_file = _beside(path, values.get("token_file", ""))
    config = AgentConfig(
        device=_checked_device(values, problems),
        catalog=_checked_catalog(values, problems),
        credential=_checked_credential(values, path, problems, identity),
        state_dir=state,
        log_level=_checked_level(values, problems),
        root=root,
        token_file=token_file,
        ca=_checked_ca(values, path, problems),
        least_policy=_checked_floor(values, token_file, identity, problems, trusts=bool(root)),
    )
    if problems:
        raise ConfigError(problems)
    return config


def secret_files(path: Path | None, environment: Mapping[str, str] | None = None) -> list[Path]:
    """Name the files that hold the credential, of a configuration that could be read; see `read_config`."""
    environment = os.environ if environment is None else environment
    document = {} if path is None else _document(path, [])
    files = [path] if path is not None and "credential" in document else []
    for key in ("credential_file", "token_file"):
        named = environment.get(f"TRESMA_{key.upper()}", "").strip() or str(document.get(key, "")).strip()
        if named:
            files.append(Path(named) if path is None else path.parent / named)
    return files


def _document(path: Path, problems: list[Problem]) -> dict[object, object]:
    expected = "a YAML file of a few lines: device, catalog, credential"
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_LENGTH + 1)
    except OSError as error:
        problems.append(Problem(str(path), expected, error.strerror or str(error), "name it with --config"))
        return {}
    if len(data) > MAXIMUM_LENGTH:
        problems.append(Problem(str(path), expected, f"more than {MAXIMUM_LENGTH} bytes"))
        return {}
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        problems.append(Problem(where, expected, f"no YAML: {getattr(error, 'problem', error)}"))
        return {}
    if not isinstance(document, dict):
        found = "an empty file" if document is None else type(document).__name__
        problems.append(Problem(str(path), expected, found))
        return {}
    return document


def _checked_device(values: Mapping[str, str], problems: list[Problem]) -> str:
    device = values.get("device", "")
    if not _identifier.fullmatch(device):
        expected = "the id the catalog knows this device by: letters, digits, _ and -, at most 64"
        remedy = "'tresma devices add' prints the lines"
        problems.append(Problem("device", expected, shortened(device) or "nothing", remedy))
    return device


def _checked_catalog(values: Mapping[str, str], problems: list[Problem]) -> str:
    address = values.get("catalog", "")
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        secret = bool(parts.password or parts.username)
    except ValueError:
        good = secret = False
    if not good or secret:
        found = "an address with a password" if secret else shortened(address) or "nothing"
        problems.append(Problem("catalog", "an address such as https://catalog.example.org", found))
    return address.rstrip("/")


def _checked_credential(
    values: Mapping[str, str], path: Path | None, problems: list[Problem], identity: Identity
) -> str:
    if "credential" in values:
        if not _is_one_word(values["credential"]):
            problems.append(Problem("credential", "one word of ASCII characters", "something else"))
        return values["credential"]
    if "credential_file" not in values:
        if "token_file" not in values and not identity.path.exists():
            remedy = "'tresma devices add' shows it once, 'tresma devices enrol' gives a token"
            expected = "the device's credential, credential_file, or token_file"
            problems.append(Problem("credential", expected, "none of them", remedy))
        return ""
    file = Path(values["credential_file"])
    if path is not None:
        file = path.parent / file
    try:
        with file.open(encoding="utf-8") as opened:
            credential = opened.read(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or "no text"
        problems.append(Problem("credential_file", f"a readable file {file}", found))
        return ""
    if not _is_one_word(credential):
        problems.append(Problem("credential_file", f"one line with the credential in {file}", "something else"))
    return credential


def _checked_ca(values: Mapping[str, str], path: Path | None, problems: list[Problem]) -> str:
    file = _beside(path, values.get("ca_file", ""))
    if file and not os.access(file, os.R_OK):
        problems.append(Problem("ca_file", "a readable file with certificates (PEM)", f"none at {file}"))
    return file


def _beside(path: Path | None, name: str) -> str:
    """Name a file as it is meant: relative to the configuration's folder."""
    return str(path.parent / name) if name and path is not None else name


def _checked_root(values: Mapping[str, str], path: Path | None, problems: list[Problem]) -> bytes:
    """Read the root of trust; where one is named and cannot be read, nothing goes on without it."""
    if "root_file" not in values:
        return b""
    file = Path(values["root_file"])
    if path is not None:
        file = path.parent / file
    expected = f"the root of trust that the DSO gave with this meter in {file}"
    try:
        with file.open("rb") as opened:
            root = opened.read(MAXIMUM_ROOT + 1)
    except OSError as error:
        problems.append(Problem("root_file", expected, error.strerror or str(error)))
        return b""
    try:
        right = len(root) <= MAXIMUM_ROOT and msgspec.json.decode(root)["signed"]["_type"] == "root"
    except (msgspec.DecodeError, TypeError, KeyError, RecursionError, ValueError):
        right = False
    if not right:
        problems.append(Problem("root_file", expected, "something else", "it is metadata/1.root.json of the DSO's"))
    return root


def _checked_floor(
    values: Mapping[str, str], token_file: str, identity: Identity, problems: list[Problem], *, trusts: bool
) -> int:
    """Give the least policy: what the configuration states, or the token that let the device in, if that is more."""
    stated = values.get("least_policy", "0")
    if stated != "0" and not is_policy_revision(stated):
        remedy = "`tresma policy show` tells it"
        problems.append(Problem("least_policy", "a revision of the DSO's policy, 1 or more", shortened(stated), remedy))
        return 0
    facts = identity.facts()
    if int(stated) and not trusts and "root_file" not in values and not _is_to_enrol(token_file, facts):
        expected = "a root of trust by which a policy could be judged"
        problems.append(Problem("least_policy", expected, "none", "name it with root_file, or in the token"))
    return max(int(stated), facts.policy if facts is not None else 0)


def _is_to_enrol(token_file: str, facts: Facts | None) -> bool:
    """Tell whether a token is yet to be used: it may bring a root of trust."""
    if not token_file or facts is None:
        return bool(token_file)
    try:
        return facts.token != token_digest(Path(token_file).read_text(encoding="utf-8")[:4096])
    except (OSError, UnicodeDecodeError):
        return False


def _is_one_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text.split()) == 1


def _checked_level(values: Mapping[str, str], problems: list[Problem]) -> str:
    level = values.get("log_level", "info").lower()
    if level not in _levels:
        problems.append(Problem("log_level", f"one of {', '.join(_levels)}", shortened(level)))
    return level


def default_state_dir(device: str, environment: Mapping[str, str]) -> str:
    """Say where an agent keeps its state unless told otherwise."""
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return given
    if os.geteuid() == 0:
        return f"/var/lib/tresma/{device}"
    home = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "/")) / ".local/state")
    return f"{home}/tresma/{device}"
