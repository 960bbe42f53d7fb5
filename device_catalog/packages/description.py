"""
What an algorithm's class says of itself, asked in a process of its own.

Where it stands: `packing` starts ``python -m device_catalog.packages.description FOLDER ENTRY``; the process imports
the class and prints its `AlgorithmInfo` as JSON. Rules: importing foreign code can hang, print and crash, so it has
limits, its output is read as far as it may go, and nothing of it happens in the operator's own process.
"""

import contextlib
import importlib
import resource
import sys
from pathlib import Path

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.manifest import AlgorithmInfo, problems_of_info
from device_catalog.contract.packages import PackageError
from device_catalog.packages.bounded import run_bounded

TIMEOUT = 30.0
"""How long an import may take [s]."""
_PROCESSOR, _MEMORY = 20, 2 * 2**30
_MOST = 256 * 1024


def describe(folder: Path, entry: str) -> AlgorithmInfo:
    """
    Ask the class ``package.module:Class`` in `folder` what it says of itself.

    Raises
    ------
    PackageError
        With what kept it from being asked, or everything that is wrong with the answer.
    """
    command = [sys.executable, "-m", "device_catalog.packages.description", str(folder), entry]
    ended = run_bounded(command, b"", TIMEOUT)
    if ended.status is None:
        found = f"none within {TIMEOUT:g} s"
        raise PackageError([Problem("entry", f"the class {entry}", found, "do nothing at import")])
    if ended.status:
        raise PackageError([Problem("entry", f"the class {entry}", shortened(ended.words, 200))])
    try:
        info = msgspec.json.decode(ended.answer, type=AlgorithmInfo)
    except msgspec.DecodeError as error:
        raise PackageError([Problem("entry", "an AlgorithmInfo", shortened(str(error)))]) from error
    problems = problems_of_info(info)
    if problems:
        raise PackageError(problems)
    return info


def main() -> int:
    """Print the information of the class that the command line names."""
    folder, entry = sys.argv[1:3]
    for limit, value in (
        (resource.RLIMIT_CPU, _PROCESSOR),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, _MOST),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    sys.path.insert(0, folder)
    module, _, name = entry.partition(":")
    with contextlib.redirect_stdout(sys.stderr):
        info = getattr(getattr(importlib.import_module(module), name), "info", None)
    if not isinstance(info, AlgorithmInfo):
        sys.stderr.write(f"expected an AlgorithmInfo as {entry}.info, found {type(info).__name__}\n")
        return 1
    sys.stdout.write(msgspec.json.encode(info).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
