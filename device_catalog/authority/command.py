"""
``tresma-catalog authority ...``: the DSO's own authority, and certificates for brokers and for programs at the brokers.

Works on the state folder alone. What is made for a broker goes onto its machine by hand.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from algorithms.api.errors import Problem
from device_catalog.authority.authority import Authority, now
from device_catalog.authority.bundle import ANCHORS, NAME, read_bundle, write_secret
from device_catalog.brokers.files import CLIENTS, read_clients
from device_catalog.brokers.rights import Client
from device_catalog.config import CatalogConfig, ConfigError
from device_catalog.contract.topics import is_identifier


def run(config: CatalogConfig, options: argparse.Namespace) -> int:
    """Do what the command line says; return the exit status."""
    folder = Path(config.state) / "authority"
    return {"show": _show, "import": _import, "server": _server, "client": _client}[options.action](folder, options)


def _show(folder: Path, _options: argparse.Namespace) -> int:
    authority = Authority.open(folder)
    sys.stdout.write(authority.anchors)
    sys.stderr.write(f"the authority in {folder / NAME} lasts until {authority.not_after:%Y-%m-%d}\n")
    return 0


def _import(folder: Path, options: argparse.Namespace) -> int:
    """Take an intermediate that the DSO's own authority made."""
    content = b"".join(_read(name) + b"\n" for name in (options.key, options.certificate, options.anchors) if name)
    bundle = read_bundle(content, f"{options.certificate}, {options.key}")
    if (folder / NAME).exists() and not options.replace:
        found = "one, perhaps with devices enrolled by it"
        remedy = "--replace, and enrol every device anew"
        raise ConfigError([Problem("authority", "no authority yet", found, remedy)])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(folder / NAME, content)
    Authority.open(folder)
    name = bundle.certificate.subject.rfc4514_string()
    sys.stdout.write(f"{name} signs from now on; it lasts until {bundle.certificate.not_valid_after_utc:%Y-%m-%d}\n")
    return 0


def _server(folder: Path, options: argparse.Namespace) -> int:
    """Make key and certificate for a broker or a proxy."""
    authority = Authority.open(folder)
    output = _new(options.output)
    write_secret(output, authority.server(options.hosts, now()))
    sys.stdout.write(f"key and certificate for {', '.join(options.hosts)}: {output}\n")
    sys.stdout.write(f"what its clients must trust, and it must trust of them: {folder / ANCHORS}\n")
    return 0


def _client(folder: Path, options: argparse.Namespace) -> int:
    """Make key and certificate for a program that reads at the brokers."""
    (name,) = options.hosts
    if not is_identifier(name) or (options.tenant and not is_identifier(options.tenant)):
        raise ConfigError([Problem("name", "letters, digits, _ and - (at most 64)", f"{name}, {options.tenant}")])
    authority = Authority.open(folder)
    output = _new(options.output)
    client = Client(f"{name}.client", options.tenant, options.asks, options.operates)
    others = [one for one in read_clients(folder / CLIENTS) if one.name != client.name]
    write_secret(folder / CLIENTS, msgspec.json.encode([*others, client]))
    content, made = authority.client(client.name, now())
    write_secret(output, content)
    sys.stdout.write(f"key and certificate for {client.name}, until {made.not_after:%Y-%m-%d}: {output}\n")
    return 0


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigError([Problem(name, "a file that can be read", error.strerror or "none")]) from error


def _new(name: str) -> Path:
    path = Path(name)
    if path.exists():
        raise ConfigError([Problem("--output", "a new file", f"{name}, which is there", "name another one")])
    if not path.parent.is_dir():
        raise ConfigError([Problem("--output", "a folder that is there", f"none called {path.parent}")])
    return path
