"""Finding a class by the name a package, an entry point or a person gives it, inside a child process."""

import importlib
import sys
from collections.abc import Callable
from typing import Any, cast

from agent.processes.entry_points import entry_of
from algorithms.api.algorithm import Algorithm


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
    return cast("type[Algorithm]", load(entry_of(name), lambda found: issubclass(found, Algorithm), "algorithm"))
