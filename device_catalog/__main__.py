"""The command ``tresma-catalog``: what it serves, keeps, copies and shows."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from algorithms.api.errors import Problem, ProblemsError
from device_catalog.access.arguments import authority_arguments, broker_arguments, serve_arguments
from device_catalog.backup.arguments import backup_arguments
from device_catalog.config import CatalogConfig, read_config
from device_catalog.errors import AddressError, StorageError

EXIT_USAGE = 64
EXIT_UNAVAILABLE = 69
EXIT_CONFIGURATION = 78

_epilogue = """\
Settings come from --config (YAML), then from variables such as TRESMA_CATALOG_PORT, then from these options.

A first catalog, for this machine only:
  tresma-catalog serve --state ./catalog --grid-broker mqtt://127.0.0.1:1883
prints where the operator's token is kept; `tresma devices add` uses it. The REST interface describes itself at
/schema. PostgreSQL: --database postgresql://user@host/name. Behind a proxy that ends TLS, keep it on loopback.

exit status: 0 ended as asked, 64 usage, 69 database or address out of reach, 78 configuration
"""


_history_epilogue = """\
Kept in history.db of --state, or in PostgreSQL; `tresma history` and the catalog's /v1/history read it. The oldest goes
when it is older than its class is kept, or when the room is used up; what goes is counted.

The broker holds back what is said while this process is away, as far as its queue for one client goes: mosquitto's
max_queued_messages is 1000 unless told otherwise.

  tresma-catalog history --state ./catalog --data-broker mqtt://127.0.0.1:1884
  ... --keep frames=31 --keep minutes=1000 --history-budget 200000000000
  ... --line-protocol http://127.0.0.1:8086/write?db=tresma
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "openapi":
        from device_catalog.api.openapi import document  # noqa: PLC0415 - not needed to serve --help

        sys.stdout.write(document().decode() + "\n")
        return 0
    try:
        config = _config(options)
    except ProblemsError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-catalog: {problem}\n")
        return EXIT_CONFIGURATION
    logging.basicConfig(level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for library in ("alembic", "uvicorn"):  # their own steps are no news to an operator
        logging.getLogger(library).setLevel(logging.WARNING)
    try:
        return _command(config, options)
    except ProblemsError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-catalog: {problem}\n")
        return EXIT_CONFIGURATION
    except (StorageError, AddressError, OSError) as error:
        sys.stderr.write(f"tresma-catalog: {error}\n")
        return EXIT_UNAVAILABLE


def _command(config: CatalogConfig, options: argparse.Namespace) -> int:
    if options.command == "authority":
        from device_catalog.authority.command import run  # noqa: PLC0415 - loads cryptography

        return run(config, options)
    if options.command in ("backup", "restore"):
        from device_catalog.backup.command import run as copy  # noqa: PLC0415 - as above, and the database's packages

        return copy(config, options)
    if options.command == "broker-acl":
        from device_catalog.brokers.command import run as write_list  # noqa: PLC0415 - loads the database's packages

        return write_list(config, options)
    commands = {"migrate": _migrate, "director-key": _director_key, "history": _history, "serve": _serve}
    return commands[options.command](config)


def _serve(config: CatalogConfig) -> int:
    from device_catalog.server import serve  # noqa: PLC0415 - loads the web framework

    serve(config)
    return 0


def _migrate(config: CatalogConfig) -> int:
    from device_catalog.storage.database import migrate, open_engine  # noqa: PLC0415 - loads the database's packages

    engine = open_engine(config.database)
    try:
        before, after = migrate(engine)
    finally:
        engine.dispose()  # the pool would keep its connection open
    sys.stdout.write(f"database: shape {before or 'none'} -> {after}\n")
    return 0


def _director_key(config: CatalogConfig) -> int:
    from device_catalog.fleet.director import read_director  # noqa: PLC0415 - loads cryptography

    sys.stdout.write(f"{read_director(Path(config.director_key_file), 1.0).public}\n")
    return 0


def _history(config: CatalogConfig) -> int:
    if not config.data_brokers:
        problem = Problem("data_brokers", "mqtt://host:port", "none", "give --data-broker")
        raise ProblemsError([problem])
    from device_catalog.history.service import keep_history  # noqa: PLC0415 - loads the database's packages

    keep_history(config)
    return 0


def _config(options: argparse.Namespace) -> CatalogConfig:
    given = {name: getattr(options, name, None) for name in CatalogConfig.__struct_fields__}
    if options.command == "authority":  # whose options of these names are not settings
        given.update(dict.fromkeys(("certificate", "key", "tenant")))
        options.name, options.hosts = None, getattr(options, "name", None)
    given["grid_brokers"] = getattr(options, "grid_broker", None) or ()
    given["data_brokers"] = getattr(options, "data_broker", None) or ()
    for name, option in (("names", "name"), ("proxies", "proxy"), ("broker_pid_files", "broker_pid_file")):
        given[name] = tuple(getattr(options, option, None) or ())
    for name in ("tls", "insecure"):
        given[name] = getattr(options, name, None) or None
    given["history_days"] = dict(getattr(options, "keep", None) or ())
    return read_config(Path(options.config) if options.config else None, os.environ, given)


def _kept(text: str) -> tuple[str, str]:
    name, equals, days = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected CLASS=DAYS, found {text}")
    return name, days


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tresma-catalog",
        description="The device catalog: tells meters what to do, and everybody who is there.",
        epilog=_epilogue,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve", help="run the catalog", epilog=_epilogue, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    migrate = commands.add_parser("migrate", help="bring the database to the newest shape, and end")
    director = commands.add_parser(
        "director-key",
        help="show the public half of the key that signs what devices should do",
        description="Print the key that the DSO lets in by its policy (`tresma policy new --director NAME=KEY`). It is "
        "made where there is none yet; the private half stays in --state.",
    )
    director.add_argument("--director-key-file", metavar="FILE", help="file with the key (director.key in --state)")
    commands.add_parser("openapi", help="print the description of the REST interface")
    history = commands.add_parser(
        "history",
        help="keep what the data broker carries",
        description="Keep what the data broker carries, for the catalog's history API; a process of its own.",
        epilog=_history_epilogue,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    access = (*backup_arguments(commands), *authority_arguments(commands), broker_arguments(commands))
    for command in (serve, history, migrate, director, *access):
        command.add_argument("--config", metavar="FILE", help="YAML file with the settings below")
        command.add_argument("--state", metavar="FOLDER", help="folder for database and operator's token")
        command.add_argument("--database", metavar="URL", help="sqlite:///PATH or postgresql://user@host/name")
    for command in (serve, history):
        command.add_argument("--history-database", metavar="URL", help="of what was measured (history.db in --state)")
        command.add_argument("--log-level", help="debug, info, warning or error")
        command.add_argument(
            "--tenant", help="tenant whose brokers are spoken to; the history keeps every tenant's words"
        )
    history.add_argument(
        "--data-broker", action="append", metavar="URL", help="mqtt://host:port; repeat it in order of preference"
    )
    history.add_argument("--history-budget", type=int, metavar="BYTES", help="room for all of it (50 GiB)")
    history.add_argument(
        "--keep",
        action="append",
        type=_kept,
        metavar="CLASS=DAYS",
        help="such as frames=7 (raw frames) or minutes=400 (one-minute sums); repeat it",
    )
    history.add_argument(
        "--line-protocol", metavar="URL", help="post it there as well: http://host:8086/write?db=tresma"
    )
    history.add_argument("--line-protocol-token-file", metavar="FILE", help="file with the token for that")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8080)")
    serve.add_argument(
        "--grid-broker", action="append", metavar="URL", help="mqtt://host:port; repeat it in order of preference"
    )
    serve_arguments(serve)
    serve.add_argument("--operator-token-file", metavar="FILE", help="file with the operator's token")
    serve.add_argument(
        "--suspicious-share",
        type=float,
        metavar="SHARE",
        help="share of the fleet that may fall silent at once before the catalog suspects itself (0.1)",
    )
    serve.add_argument(
        "--suspicious-minimum", type=int, metavar="N", help="so many silent devices are believed at once (50)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
