"""
The command ``tresma-agent``: run a meter, replay a recording, check an installation, calibrate it, fetch algorithms.

Exit status: 0 done, 1 a check failed, 64 wrong use, 69 a service is missing, 70 a bug, 78 a configuration that
cannot be used (sysexits.h).
"""

import argparse
import contextlib
import logging
import os
import sys

from agent.console.arguments import add_commands, config_option
from agent.console.system_arguments import add_system_commands
from agent.errors import AgentError, ConfigError

EX_USAGE = 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as wrong:  # argparse says 2 for what sysexits.h calls 64
        return EX_USAGE if wrong.code else 0
    try:
        return int(options.command(options))
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"tresma-agent: {problem}\n")
        return EX_CONFIG
    except AgentError as error:
        sys.stderr.write(f"tresma-agent: {error}\n")
        return EX_UNAVAILABLE
    except Exception:
        logging.getLogger(__name__).exception("this is a bug; please report it")
        return EX_SOFTWARE
    except KeyboardInterrupt:
        return 130
    finally:
        _hand_to_service(options)


def _hand_to_service(options: argparse.Namespace) -> None:
    """Give what root made beside a service that runs as another user to that user: commands are typed as root."""
    if os.name == "nt" or os.geteuid() != 0 or options.command is _run or not hasattr(options, "config"):
        return
    from agent.config import read_config  # noqa: PLC0415
    from agent.files import hand_to_owner  # noqa: PLC0415

    with contextlib.suppress(ConfigError, OSError):  # what cannot be read was said; what cannot be given was not taken
        hand_to_owner(read_config(options.config).state_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tresma-agent",
        description="A three-phase smart meter that configures itself from a device catalog.",
        epilog="'tresma devices add' on the operator's side prints the lines a new meter needs.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run the agent",
        description="Run the agent: it takes everything but the lines in FILE from the catalog.",
        epilog="FILE holds: device: ID, catalog: URL, credential: SECRET (or credential_file: PATH). "
        "The environment (TRESMA_DEVICE, TRESMA_CATALOG, TRESMA_CREDENTIAL, TRESMA_STATE_DIR) wins over it.",
    )
    config_option(run)
    run.set_defaults(command=_run)

    add_commands(commands)
    add_system_commands(commands)
    return parser


def _run(options: argparse.Namespace) -> int:
    from agent import bootstrap  # noqa: PLC0415 - each command loads only what it needs

    return bootstrap.run(options.config)


if __name__ == "__main__":
    sys.exit(main())
