"""Keys of people on the command line: the passphrase, asked for or read from a file, and what a key is opened for."""

import argparse
import getpass
from collections.abc import Callable

from algorithms.api.records import Command
from device_catalog.operator.algorithm_commands import read_file
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.packages.errors import RepositoryError


def passphrase_of(options: argparse.Namespace, *, twice: bool = False) -> bytes:
    """
    Read a passphrase from the file that `options` names, or ask for it.

    Raises
    ------
    UsageError
        When it was typed in two ways.
    """
    if options.passphrase_file is not None:
        return read_file(options.passphrase_file, 4096).rstrip(b"\r\n")
    passphrase = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Once more: ") != passphrase:
        raise UsageError("expected the same passphrase twice, found two; nothing was made")
    return passphrase.encode()


def commander(options: argparse.Namespace) -> Callable[[Command], Command]:
    """
    Open the key that ``--key`` names, for signing orders.

    Raises
    ------
    OperatorError
        When it is none, or the passphrase is not its own.
    """
    try:
        from device_catalog.packages.keys import load_commander  # noqa: PLC0415 - loads cryptography

        return load_commander(options.key, passphrase_of(options))
    except ModuleNotFoundError as error:
        raise OperatorError(f"expected the library {error.name}, found none; install tresma[trust]") from error
    except RepositoryError as error:
        raise OperatorError(str(error)) from error
