"""``tresma-agent fetch-algorithm NAME==VERSION``: from the signed repository into a folder that can be run from."""

import argparse
import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from agent.clock import synchronisation
from agent.config import read_config
from agent.errors import ConfigError
from agent.identity.tls import anchors_of
from agent.trust.decisions import Reading
from agent.trust.fetching import fetch_algorithm
from algorithms.api.errors import Problem, shortened
from device_catalog.contract.trust import MAXIMUM_ROOT

_wanted = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]{0,63})==(?P<version>[0-9][A-Za-z0-9.]{0,63})")


def run(options: argparse.Namespace) -> int:
    """Fetch; returns the exit status."""
    config = read_config(options.config)
    wanted = _wanted.fullmatch(options.algorithm)
    if wanted is None:
        raise ConfigError([Problem("algorithm", "NAME==VERSION", shortened(options.algorithm))])
    fetched = fetch_algorithm(
        wanted["name"],
        wanted["version"],
        state=config.state_dir,
        root=_root(options),
        repository=options.repository or config.catalog,
        ca=anchors_of(config),
        clock=Reading(time.time(), synchronisation().synchronised),
    )
    judged_at = f"{datetime.fromtimestamp(fetched.judged_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    manifest = fetched.package.manifest
    if options.json:
        answer = {
            "name": manifest.info.name,
            "version": manifest.info.version,
            "release": manifest.release,
            "entry": manifest.entry,
            "sha256": fetched.package.sha256,
            "folder": str(fetched.folder),
            "judged_at": judged_at,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        return 0
    sys.stdout.write(
        f"{manifest.info.name} {manifest.info.version}, release {manifest.release}, is in {fetched.folder}\n"
        f"signed by enough, judged at {judged_at}; SHA-256 {fetched.package.sha256}\n"
    )
    return 0


def _root(options: argparse.Namespace) -> bytes:
    beside = Path("root.json") if options.config is None else options.config.with_name("root.json")
    path: Path = options.root or beside
    try:
        with path.open("rb") as file:
            return file.read(MAXIMUM_ROOT)
    except OSError as error:
        expected = "the root of trust that the DSO gave with this meter"
        found = error.strerror or str(error)
        raise ConfigError([Problem(str(path), expected, found, "name it with --root")]) from error
