"""
A restore whose power fails at its n-th change of a name, for every n; run as a process of its own.

Prints one line of JSON for each n: what a catalog would find then, and after the restore was repeated.
"""

import json
import os
import shutil
import sqlite3
import sys
from pathlib import Path

from sqlalchemy import insert

from device_catalog.authority.authority import Authority
from device_catalog.backup.command import UNFINISHED, back_up, restore
from device_catalog.config import CatalogConfig, operator_token, read_config
from device_catalog.fleet.director import read_director
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.tables import tenants

_deaths = [0]


def _hook(event: str, _arguments: tuple[object, ...]) -> None:
    if event in {"os.rename", "os.link"} and _deaths[0]:
        _deaths[0] -= 1
        if not _deaths[0]:
            os._exit(9)


def _made(state: Path, name: str) -> CatalogConfig:
    """Make a catalog's folder without running one; `name` is in its database."""
    config = read_config(None, {}, {"state": str(state)})
    state.mkdir()
    engine = open_engine(config.database)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(insert(tenants).values(tenant=name, created_ns=0))
    engine.dispose()
    Authority.open(state / "authority")
    read_director(Path(config.director_key_file), 1.0)
    operator_token(Path(config.operator_token_file))
    return config


def _found(state: Path, known: dict[str, dict[str, bytes]]) -> dict[str, str]:
    """Tell whose each part is."""
    parts = {}
    for part in ("operator.token", "director.key", "authority/authority.pem"):
        path = state / part
        content = path.read_bytes() if path.exists() else b""
        owners = [name for name, contents in known.items() if contents[part] == content]
        parts[part] = owners[0] if owners else "unfinished" if content == UNFINISHED else "nobody"
    database = state / "catalog.db"
    parts["catalog.db"] = "nobody"
    if database.exists():
        connection = sqlite3.connect(database)
        rows = connection.execute("SELECT tenant FROM tenants").fetchall()
        connection.close()
        parts["catalog.db"] = rows[0][0]
    return parts


def main(folder: Path) -> None:
    """Try every n."""
    archive = folder / "copy.tar.gz"
    copied, here = _made(folder / "copied", "copied"), _made(folder / "here", "here")
    back_up(copied, archive)
    names = ("operator.token", "director.key", "authority/authority.pem")
    known = {one: {name: (folder / one / name).read_bytes() for name in names} for one in ("copied", "here")}
    sys.addaudithook(_hook)
    for number in range(1, 100):
        state = folder / f"try-{number}"
        shutil.copytree(Path(here.state), state)
        config = read_config(None, {}, {"state": str(state)})
        child = os.fork()
        if not child:
            _deaths[0] = number
            restore(config, archive, replace=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        after = _found(state, known)
        if status:
            restore(config, archive, replace=True)
        kept = sorted(state.glob("before-restore-*/director.key"))
        told = {
            "died": bool(status),
            "after": after,
            "repeated": _found(state, known),
            "kept": any(path.read_bytes() == known["here"]["director.key"] for path in kept),
            "left": len(list(state.glob(".restore*"))),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        shutil.rmtree(state)
        if not status:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
