"""
Finding a class by the name a package, an entry point or a person gives it, inside a child process.

A package that was sent to the meter is somebody else's code: it is imported once the process is confined and not a line
of it earlier (`algorithm_host`). What is this machine's own can be imported before, by `load_libraries`, which reads
the package's files and runs none of them.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

from agent.processes.entry_points import entry_of
from algorithms.api.algorithm import Algorithm

HERE = "/proc/self/cwd"
"""
The working folder by a path that is open to this process whoever its user is.

An algorithm's own user may not pass through the folders above, which are the agent's.
"""

_libraries = ("algorithms", "msgspec", "numpy", "scipy")
_word = rb"(?:\.[A-Za-z][A-Za-z0-9_]*)*"
_imports = re.compile(
    rb"^[ \t]*(?:import|from)[ \t]+((?:" + "|".join(_libraries).encode() + rb")" + _word + rb")(?![\w.])", re.MULTILINE
)
_MOST_READ = 4 * 1024 * 1024  # of a package's sources [bytes]


def load(name: str, fits: Callable[[type], bool], what: str) -> Any:
    """
    Import the class that ``package.module:Class`` names.

    Parameters
    ----------
    name : str
    fits : callable
        Says whether a class is of the kind wanted: nothing else is ever called.
    what : str
        The kind wanted, for the message.

    Raises
    ------
    ImportError
        When it cannot be imported.
    TypeError
        When it is nothing of that kind.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except AttributeError as error:
        raise ImportError(f"expected the class {attribute} in {module_name}, found none; check the name") from error
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type) or not fits(found):
        raise TypeError(f"expected {name} to be a class of {what}, found {found!r:.80}; check the name")
    return found


def load_algorithm(name: str, folder: str = "") -> type[Algorithm]:
    """
    Import the algorithm of an entry-point name or of ``package.module:Class``.

    Parameters
    ----------
    name : str
    folder : str
        Searched first, for the rest of this process; none where empty.

    Raises
    ------
    ImportError
        When there is none, or it cannot be imported.
    TypeError
        When it is no algorithm.
    """
    if folder:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    return cast("type[Algorithm]", load(entry_of(name), lambda found: issubclass(found, Algorithm), "algorithm"))


def load_libraries(folder: str) -> None:
    """
    Import what a package's files name of this machine's own libraries, such as ``scipy.signal``.

    What is loaded before the confinement counts as what a process starts with, not as what its algorithm takes. What
    cannot be imported is left to the package's own import, which then says so.

    Parameters
    ----------
    folder : str
        Of the package; nothing in it is executed.
    """
    for name in sorted(_named_in(folder)):
        with suppress(Exception):
            importlib.import_module(name)


def _named_in(folder: str) -> set[str]:
    found: set[str] = set()
    left = _MOST_READ
    for path in _sources(folder):
        with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - pathlib is not worth its memory here
            text = file.read(left)
            left -= len(text)
            found.update(match.decode() for match in _imports.findall(text))
        if left <= 0:
            break
    return found


def _sources(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (os.path.join(parent, name) for name in sorted(names) if name.endswith(".py"))  # noqa: PTH118
