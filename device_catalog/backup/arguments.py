"""Options of ``tresma-catalog backup`` and ``restore``; loads nothing."""

import argparse
from typing import Any


def backup_arguments(commands: Any) -> list[argparse.ArgumentParser]:
    """Add both commands; return their parsers, which need the options of the state folder."""
    backup: argparse.ArgumentParser = commands.add_parser(
        "backup",
        help="copy database, keys and signed files of a catalog, which may be running, into one archive",
        description="Write database, authority, director's key, operator's token, signed algorithms and recordings "
        "into one archive that only its owner may read. The catalog may be running. PostgreSQL is copied by pg_dump.",
    )
    backup.add_argument("file", metavar="FILE", help="a new file, such as catalog-2026-11-21.tar.gz")
    backup.add_argument("--no-recordings", action="store_true", help="leave out the files of recordings")
    backup.add_argument("--history", action="store_true", help="with the measurement history, which is large")
    restore: argparse.ArgumentParser = commands.add_parser(
        "restore",
        help="put an archive of `backup` in the place of a catalog that does not run",
        description="Put an archive in the place of a catalog that does not run. Every device is told its settings of "
        "then as a new revision, larger than any it can have seen.",
    )
    restore.add_argument("file", metavar="FILE", help="an archive of `tresma-catalog backup`")
    restore.add_argument(
        "--replace", action="store_true", help="although there is one; it is moved to before-restore-… in --state"
    )
    for command in (backup, restore):
        command.add_argument("--history-database", metavar="URL", help="of what was measured (history.db in --state)")
        command.add_argument("--operator-token-file", metavar="FILE", help="file with the operator's token")
        command.add_argument("--director-key-file", metavar="FILE", help="file with the key that signs settings")
    return [backup, restore]
