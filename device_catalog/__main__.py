"""The command ``tresma-catalog``: serve, migrate, openapi."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from algorithms.api.errors import ProblemsError
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
        if options.command == "migrate":
            return _migrate(config)
        from device_catalog.server import serve  # noqa: PLC0415 - loads the web framework

        serve(config)
    except ProblemsError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-catalog: {problem}\n")
        return EXIT_CONFIGURATION
    except (StorageError, AddressError, OSError) as error:
        sys.stderr.write(f"tresma-catalog: {error}\n")
        return EXIT_UNAVAILABLE
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


def _config(options: argparse.Namespace) -> CatalogConfig:
    given = {name: getattr(options, name, None) for name in CatalogConfig.__struct_fields__}
    given["grid_brokers"] = getattr(options, "grid_broker", None) or ()
    return read_config(Path(options.config) if options.config else None, os.environ, given)


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
    commands.add_parser("openapi", help="print the description of the REST interface")
    for command in (serve, migrate):
        command.add_argument("--config", metavar="FILE", help="YAML file with the settings below")
        command.add_argument("--state", metavar="FOLDER", help="folder for database and operator's token")
        command.add_argument("--database", metavar="URL", help="sqlite:///PATH or postgresql://user@host/name")
    serve.add_argument("--host", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (8080)")
    serve.add_argument(
        "--grid-broker", action="append", metavar="URL", help="mqtt://host:port; repeat it in order of preference"
    )
    serve.add_argument("--operator-token-file", metavar="FILE", help="file with the operator's token")
    serve.add_argument("--tenant", help="tenant on whose topic the catalog says of itself whether it is there")
    serve.add_argument(
        "--suspicious-share",
        type=float,
        metavar="SHARE",
        help="share of the fleet that may fall silent at once before the catalog suspects itself (0.1)",
    )
    serve.add_argument(
        "--suspicious-minimum", type=int, metavar="N", help="so many silent devices are believed at once (50)"
    )
    serve.add_argument("--log-level", help="debug, info, warning or error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
