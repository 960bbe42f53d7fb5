"""
``tresma-catalog backup FILE`` and ``restore FILE``: what an administrator types, and what happens then.

A backup is made beside a running catalog and holds it up nowhere. A restore needs the catalog ended. Power may fail at
any line: a backup is there whole or not at all, and until a restore is complete the operator's token is one that no
catalog starts with; the archive and what was there before are untouched, so the same command finishes it.
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from algorithms.api.errors import Problem
from device_catalog.authority.bundle import write_secret
from device_catalog.backup import databases
from device_catalog.backup.archive import (
    FORMAT,
    Manifest,
    entry_of,
    files_in,
    sync_folder,
    unpack_archive,
    write_archive,
)
from device_catalog.backup.counters import Brought, bring_forward
from device_catalog.config import CatalogConfig, ConfigError
from device_catalog.errors import StorageError
from device_catalog.storage.database import held, migrate, open_engine, storage_error

SQLITE, POSTGRESQL, HISTORY = "catalog.db", "catalog.dump", "history.db"
TOKEN, DIRECTOR = "operator.token", "director.key"
FOLDERS = ("authority", "trust", "recordings")

UNFINISHED = b"unfinished\n"
"""Stands in the place of the operator's token while a restore is under way: too short for a catalog to start with."""

ATTEMPTS = 5
"""So often a folder that changes while it is copied is copied again."""

_history_lock = 0x7472_6869  # as the history process takes it


def run(config: CatalogConfig, options: argparse.Namespace) -> int:
    """Do what the command line says; return the exit status."""
    file = Path(options.file)
    if options.command == "backup":
        manifest = back_up(config, file, recordings=not options.no_recordings, history=options.history)
        size = file.stat().st_size
        sys.stdout.write(f"{file}: {size} bytes, {len(manifest.files)} files, database of shape {manifest.shape}\n")
        sys.stderr.write("it holds the catalog's private keys: keep it where nobody else reads it\n")
        return 0
    manifest, brought = restore(config, file, replace=options.replace)
    sys.stdout.write(_told(config, manifest, brought))
    return 0


# ---------------------------------------------------------------------- backup


def back_up(config: CatalogConfig, file: Path, *, recordings: bool = True, history: bool = False) -> Manifest:
    """
    Make an archive of a catalog, which may be running.

    Parameters
    ----------
    config : CatalogConfig
    file : Path
        A new file.
    recordings, history : bool
        Whether files of recordings, and the measurement history, go in.

    Raises
    ------
    ConfigError, StorageError, OSError
    """
    if file.exists():
        raise ConfigError([Problem("file", "a new file", f"{file}, which is there", "give another name")])
    engine = open_engine(config.database)
    shape = _shape(engine)
    made = datetime.now(UTC)
    with _folder_beside(file) as folder:
        if _is_unfinished(Path(config.operator_token_file)):
            raise ConfigError([Problem("--state", "a whole catalog", "a restore that is not complete", "repeat it")])
        # The keys first: who is in the database was let in by one of them.
        _copy(Path(config.operator_token_file), folder / TOKEN)
        _copy(Path(config.director_key_file), folder / DIRECTOR)
        state = Path(config.state)
        for name in FOLDERS[:2]:
            _copy_folder(state / name, folder / name)
        if _is_sqlite(engine):
            databases.copy_sqlite(databases.sqlite_path(config.database), folder / SQLITE)
        else:
            databases.dump_postgresql(config.database, folder / POSTGRESQL, with_history=history)
        if history and config.history_database.startswith("sqlite:"):
            databases.copy_sqlite(databases.sqlite_path(config.history_database), folder / HISTORY)
        if recordings:  # after the database: what is named there is here, unless it was dropped meanwhile
            _copy_folder(state / "recordings", folder / "recordings", leave_out="parts/")
        files = {name: entry_of(path) for name, path in files_in(folder)}
        kind = "sqlite" if _is_sqlite(engine) else "postgresql"
        manifest = Manifest(FORMAT, made, version("tresma"), kind, shape, files)
        write_archive(file, manifest, folder)
    return manifest


@contextlib.contextmanager
def _folder_beside(file: Path) -> Iterator[Path]:
    """Give a folder on the disk of `file` that nobody else may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.resolve().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # of a catalog that never ran
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with source.open("rb") as here, target.open("xb") as there:
            shutil.copyfileobj(here, there)


def _copy_folder(source: Path, target: Path, leave_out: str = "\0") -> None:
    """Copy a folder; again where it changed meanwhile, so that signed documents fit each other."""

    def listing() -> dict[str, tuple[int, int]]:
        found = {}
        for name, path in files_in(source) if source.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                found[name] = (path.stat().st_mtime_ns, path.stat().st_size)
        return {name: stamp for name, stamp in found.items() if not name.startswith(leave_out)}

    for _ in range(ATTEMPTS):
        before = listing()
        shutil.rmtree(target, ignore_errors=True)
        for name in before:
            if not name.endswith(".new"):  # half a file
                _copy(source / name, target / name)
        if listing() == before:
            return
    raise StorageError(f"expected {source} to rest for a moment, found it changing; try again")


# --------------------------------------------------------------------- restore


def restore(config: CatalogConfig, file: Path, *, replace: bool = False) -> tuple[Manifest, Brought]:
    """
    Put an archive in the place of a catalog that does not run.

    Parameters
    ----------
    config : CatalogConfig
    file : Path
    replace : bool
        Although there is something; that is moved into a folder of its own, ``before-restore-…`` in the state folder.

    Raises
    ------
    ConfigError, StorageError, OSError
        Nothing was changed, or the token says that it is not complete.
    """
    state = Path(config.state)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_engine(config.database)
    history = open_engine(config.history_database)
    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)  # the pool would keep connections open
        stack.callback(history.dispose)
        stack.enter_context(held(engine))
        folder = stack.enter_context(_folder_beside(state / "restore"))
        for left in state.glob(".restore.*"):  # of one that was cut off
            if left != folder:
                shutil.rmtree(left)
        there = _occupied(config, engine)
        if there and not replace:
            remedy = "--replace, and what is there is kept in a folder of its own"
            raise ConfigError([Problem("--state", "nothing there yet", ", ".join(there), remedy)])
        manifest = unpack_archive(file, folder)
        _check(engine, manifest, folder)
        if (folder / HISTORY).exists():
            stack.enter_context(held(history, _history_lock, "history"))
        return manifest, _put_in_place(config, engine, manifest, folder)


def _check(engine: Engine, manifest: Manifest, folder: Path) -> None:
    """Make sure that what was unpacked can take the place of what is there, before anything is touched."""
    kind = "sqlite" if _is_sqlite(engine) else "postgresql"
    if manifest.database != kind:
        raise ConfigError([Problem("--database", f"one of {manifest.database}, as in the archive", kind)])
    names = [SQLITE if kind == "sqlite" else POSTGRESQL, TOKEN, "authority/authority.pem"]
    missing = [name for name in names if name not in manifest.files]
    if missing:
        raise ConfigError([Problem("archive", "a catalog's database and keys", f"{', '.join(missing)} missing")])
    for name in (SQLITE, HISTORY):
        wrong = databases.check_sqlite(folder / name) if (folder / name).exists() else ""
        if wrong:
            raise ConfigError([Problem(name, "a whole database in the archive", wrong, "take another copy")])
    if (folder / POSTGRESQL).exists():
        databases.check_dump(folder / POSTGRESQL)


def _put_in_place(config: CatalogConfig, engine: Engine, manifest: Manifest, folder: Path) -> Brought:
    state, now = Path(config.state), datetime.now(UTC)
    brought = None
    if (folder / SQLITE).exists():  # all of it before anything is touched
        brought = _bring_forward(open_engine(f"sqlite:///{folder / SQLITE}"), manifest, now)
        databases.settle_sqlite(folder / SQLITE)
    before = Path(tempfile.mkdtemp(prefix=f"before-restore-{now:%Y%m%dT%H%M%SZ}-", dir=state))
    token = Path(config.operator_token_file)
    _copy(token, before / TOKEN)  # there is always one: without any a catalog would make another
    token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(token, UNFINISHED)
    if brought is None and databases.has_tables(engine):
        databases.dump_postgresql(config.database, before / POSTGRESQL, with_history=False)
    for name, target in _places(config, folder).items():
        for suffix in ("-wal", "-shm", "") if name.endswith(".db") else ("",):
            _move(target.with_name(target.name + suffix), before / (name + suffix))
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _move(folder / name, target)
        sync_folder(target.parent)
    if brought is None:
        databases.restore_postgresql(config.database, folder / POSTGRESQL)
        brought = _bring_forward(open_engine(config.database), manifest, now)
    write_secret(token, (folder / TOKEN).read_bytes())
    with contextlib.suppress(OSError):  # it holds something
        before.rmdir()
    return brought


def _is_unfinished(token: Path) -> bool:
    return token.is_file() and token.read_bytes() == UNFINISHED


def _places(config: CatalogConfig, folder: Path) -> dict[str, Path]:
    """Tell where each part of an unpacked archive belongs; the operator's token comes last, by itself."""
    state = Path(config.state)
    places = {DIRECTOR: Path(config.director_key_file), **{name: state / name for name in FOLDERS}}
    if (folder / SQLITE).exists():
        places[SQLITE] = databases.sqlite_path(config.database)
    if (folder / HISTORY).exists():
        places[HISTORY] = databases.sqlite_path(config.history_database)
    return {name: place for name, place in places.items() if (folder / name).exists()}


def _occupied(config: CatalogConfig, engine: Engine) -> list[str]:
    state = Path(config.state)
    paths = [Path(config.operator_token_file), Path(config.director_key_file), *(state / name for name in FOLDERS)]
    if _is_sqlite(engine):
        paths.append(databases.sqlite_path(config.database))
    found = [path.name for path in paths if path.exists()]
    if not _is_sqlite(engine) and databases.has_tables(engine):
        found.append("a catalog's tables in the database")
    return found


def _bring_forward(engine: Engine, manifest: Manifest, now: datetime) -> Brought:
    try:
        migrate(engine)
        note = f"copy of {manifest.made:%Y-%m-%dT%H:%M:%SZ}"
        return bring_forward(engine, _nanoseconds(manifest.made), _nanoseconds(now), note)
    finally:
        engine.dispose()


def _move(source: Path, target: Path) -> None:
    """Move a file or folder, also to another disk; nothing where there is none."""
    if source.exists():
        try:
            source.rename(target)
        except OSError:
            shutil.move(str(source), str(target))


def _shape(engine: Engine) -> str:
    if _is_sqlite(engine) and not databases.sqlite_path(str(engine.url)).is_file():
        found = f"none at {engine.url.database}"
        raise ConfigError([Problem("--state", "the folder of a catalog, with its database", found)])
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision() or ""
    except SQLAlchemyError as error:
        raise storage_error(error) from error
    finally:
        engine.dispose()
    if not found:
        raise ConfigError([Problem("--database", "a catalog's database", "one without its tables")])
    return found


def _is_sqlite(engine: Engine) -> bool:
    return engine.url.get_backend_name() == "sqlite"


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)


def _told(config: CatalogConfig, manifest: Manifest, brought: Brought) -> str:
    made = f"{manifest.made:%Y-%m-%d %H:%M:%S} UTC"
    lines = [
        f"restored to {made}; start the catalog when the rest is done:",
        f"- {brought.devices} devices are told their settings of then, as revisions that are larger by {brought.step}",
        f"- {brought.enrolments} tokens of enrolments that were waiting count no more: make new ones",
    ]
    if brought.rollouts:
        lines.append(f"- stand still until you resume or abort them: {', '.join(brought.rollouts)}")
    lines.append(
        "- unknown here is what was decided since: lock out again what was locked out (devices, operators), register "
        "and enrol again what is new, load networks that were changed"
    )
    if "recordings" not in {name.partition("/")[0] for name in manifest.files}:
        lines.append("- files of recordings are not in this archive")
    kept = sorted(Path(config.state).glob("before-restore-*"))
    if kept:
        lines.append(f"- what was here before is in {kept[-1]}; it holds keys: remove it when all is well")
    return "\n".join(lines) + "\n"
