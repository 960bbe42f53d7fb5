"""``tresma-agent enrol``: a key and a certificate for this machine, and the few lines its agent starts with."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from agent.config import default_state_dir, read_config
from agent.errors import ConfigError
from agent.files import hand_to_owner, write_durably
from agent.identity.exchange import EnrolmentError, enrol
from agent.identity.files import Identity
from algorithms.api.errors import Problem, shortened
from device_catalog.contract.enrolment import Token


def run(options: argparse.Namespace) -> int:
    """Enrol; returns the exit status."""
    token = _token(options)
    catalog = _address(options.catalog)
    state = _state(options, token.device, catalog)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = enrol(token, catalog, Identity(state), options.ca)
        hand_to_owner(state)
        written = _write_config(options, token.device, catalog)
    except OSError as error:
        found = f"{error.filename or state}: {error.strerror}"
        raise ConfigError([Problem("state_dir", "a folder that this user may write", found, "run as root")]) from error
    ends = f"{_day(facts.not_after)} (renewed by the agent from {_day(facts.renew_at)} on)"
    sys.stdout.write(f"enrolled as {facts.device}; the certificate lasts until {ends}\n")
    sys.stdout.write(f"key and certificate: {Identity(state).path}\n")
    if written:
        sys.stdout.write(f"the agent's configuration: {options.config}\n")
    return 0


def _token(options: argparse.Namespace) -> Token:
    if options.token:
        text = options.token
    elif options.token_file == "-":  # noqa: S105 - standard input
        text = sys.stdin.read(4096)
    else:
        try:
            text = Path(options.token_file).read_text(encoding="utf-8")[:4096]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            found = f"{options.token_file}: {reason}"
            raise ConfigError([Problem("--token-file", "a file that can be read", found)]) from error
    try:
        return Token.read(text)
    except ValueError as error:
        raise EnrolmentError(str(error), final=True) from error


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        expected = "an address such as https://catalog.example.org"
        raise ConfigError([Problem("--catalog", expected, shortened(text))])
    return text.rstrip("/")


def _state(options: argparse.Namespace, device: str, catalog: str) -> Path:
    """Find the agent's folder: given, or what its configuration says, which must be about this device."""
    lines = _lines(options.config)
    if lines:
        problems = [
            Problem(f"{options.config}: {key}", wanted, shortened(lines.get(key)), "move that file away to begin anew")
            for key, wanted in (("device", device), ("catalog", catalog))
            if str(lines.get(key, "")).rstrip("/") != wanted
        ]
        if problems:
            raise ConfigError(problems)
        if options.state_dir is None and lines.get("state_dir"):
            return Path(str(lines["state_dir"]))
    return options.state_dir or Path(default_state_dir(device, os.environ))


def _write_config(options: argparse.Namespace, device: str, catalog: str) -> bool:
    if _lines(options.config):
        read_config(options.config)  # whatever else is wrong with it is said now
        return False
    lines = {"device": device, "catalog": catalog}
    if options.state_dir is not None:
        lines["state_dir"] = str(options.state_dir.absolute())
    if options.ca:
        lines["ca_file"] = str(Path(options.ca).absolute())
    options.config.parent.mkdir(parents=True, exist_ok=True)
    write_durably(options.config, yaml.safe_dump(lines, sort_keys=False).encode(), mode=0o644)
    return True


def _lines(path: Path) -> dict[str, object]:
    """Read a configuration; nothing where there is none, or only what the package says about one."""
    try:
        lines = yaml.safe_load(path.read_bytes()[:65_536]) or {}
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError):
        lines = None
    if not isinstance(lines, dict):
        raise ConfigError([Problem(str(path), "lines such as device: ID", "something else")])
    return lines


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
