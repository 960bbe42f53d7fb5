"""
An operator's edits: a file, or ``poll.interval=5``, turned into a configuration, and the difference shown (pure).

A configuration here is plain data (dictionaries, lists, numbers, text), as YAML and JSON have it. A path names a
place in it: ``poll.interval``, ``algorithms[0].publish``, and for a list whose items have a name also
``algorithms[phasors].settings.window`` or ``acquisition.channels[UA].ratio``.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import yaml

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.documents import Configuration
from device_catalog.operator.errors import UsageError

NAMES = ("algorithm", "name")
"""Fields that name an item of a list."""

MAXIMUM_LENGTH = 1024 * 1024
"""Longest configuration file read [bytes]."""

_step = re.compile(r"\.?(?P<key>[A-Za-z0-9_-]+)|\[(?P<item>[^\]]+)\]")


def parse_document(text: bytes, where: str) -> dict[str, Any]:
    """
    Read a configuration from YAML or JSON (which is YAML too).

    Raises
    ------
    UsageError
        When it is neither, or no mapping.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise UsageError(f"{where}: expected at most {MAXIMUM_LENGTH} bytes, found {len(text)}")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where}: expected YAML or JSON, found: {shortened(str(error), 200)}") from error
    if not isinstance(document, dict):
        found = "an empty file" if document is None else type(document).__name__
        raise UsageError(f"{where}: expected settings such as `poll: {{interval: 5}}`, found {found}")
    return document


def apply_edits(document: Mapping[str, Any], edits: Sequence[str]) -> dict[str, Any]:
    """
    Return `document` with every edit made, in their order.

    Parameters
    ----------
    document : mapping
    edits : sequence of str
        ``path=value``; the value is read as YAML, so ``5``, ``true``, ``[1, 2]`` and ``{a: 1}`` mean what they say.
        Nothing after the equals sign takes the setting out, so that its default holds again.

    Raises
    ------
    UsageError
        Naming every edit that cannot be made.

    Examples
    --------
    >>> apply_edits({"poll": {"interval": 60.0}}, ["poll.interval=5", "terminal=T1"])
    {'poll': {'interval': 5}, 'terminal': 'T1'}
    """
    result = copy.deepcopy(dict(document))
    problems = []
    for edit in edits:
        path, equals, text = edit.partition("=")
        if not equals or not path.strip():
            problems.append(Problem(edit, "path=value", "no path or no =", "write, for instance, poll.interval=5"))
            continue
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            problems.append(Problem(path, "a value", shortened(text), "put text with special characters in quotes"))
            continue
        problem = _put(result, path.strip(), value, remove=not text.strip())
        if problem is not None:
            problems.append(problem)
    if problems:
        raise UsageError("these edits cannot be made", problems)
    return result


def completed(document: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return `document` with every default filled in, as the catalog will keep it; unchanged where it is not valid.

    The catalog judges; this only lets a difference show what changes and not what was left out.
    """
    try:
        whole = msgspec.convert(document, Configuration)
    except msgspec.ValidationError:
        return dict(document)
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))
    return plain


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """
    Go through what differs: the path, the value before and the one after; `msgspec.UNSET` where there is none.

    Examples
    --------
    >>> list(differences({"poll": {"interval": 60.0}}, {"poll": {"interval": 5}}))
    [('poll.interval', 60.0, 5)]
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            step = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, msgspec.UNSET), after.get(key, msgspec.UNSET), step)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        yield from _list_differences(before, after, path)
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield path, before, after


def difference_lines(before: Any, after: Any) -> list[str]:
    """
    Write what differs, a line each: ``~`` changed, ``+`` new, ``-`` gone.

    Examples
    --------
    >>> difference_lines({"poll": {"interval": 60.0}, "terminal": "T1"}, {"poll": {"interval": 5}, "area": "x"})
    ['~ poll.interval: 60.0 -> 5', '- terminal: "T1"', '+ area: "x"']
    """
    lines = []
    for path, old, new in differences(before, after):
        if old is msgspec.UNSET:
            lines.append(f"+ {path}: {_written(new)}")
        elif new is msgspec.UNSET:
            lines.append(f"- {path}: {_written(old)}")
        else:
            lines.append(f"~ {path}: {_written(old)} -> {_written(new)}")
    return lines


def _list_differences(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[tuple[str, Any, Any]]:
    """Compare lists item by item: by name where items have one, so that an insertion does not shift the rest."""
    old, new = _named(before), _named(after)
    if old is None or new is None:
        old, new = dict(enumerate(before)), dict(enumerate(after))
    for key in [*old, *(key for key in new if key not in old)]:
        yield from differences(old.get(key, msgspec.UNSET), new.get(key, msgspec.UNSET), f"{path}[{key}]")


def _named(items: Sequence[Any]) -> dict[Any, Any] | None:
    named = {}
    for item in items:
        name = next((item[field] for field in NAMES if field in item), None) if isinstance(item, Mapping) else None
        if not isinstance(name, str) or name in named:
            return None
        named[name] = item
    return named


def _written(value: Any) -> str:
    return shortened(msgspec.json.encode(value).decode(), 200)


def _steps(path: str) -> list[str | int] | None:
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _step.match(path, position)
        if match is None or (position == 0) != (not match[0].startswith((".", "["))):
            return None
        item = match["item"]
        steps.append(match["key"] if item is None else int(item) if item.isdigit() and len(item) < 6 else f"[{item}]")
        position = match.end()
    return steps


def _put(document: dict[str, Any], path: str, value: Any, *, remove: bool) -> Problem | None:
    """Set or remove one value in place; return what stands in the way."""
    steps = _steps(path)
    if not steps:
        return Problem(path, "a path such as poll.interval or algorithms[0].publish", shortened(path))
    place: Any = document
    for step in steps[:-1]:
        key, problem = _key(place, step, path, appending=False)
        if problem is not None:
            return problem
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
        place = place[key]
    key, problem = _key(place, steps[-1], path, appending=not remove)
    if problem is not None:
        return problem
    if remove and isinstance(place, dict):
        place.pop(key, None)
    elif remove:
        del place[key]
    elif isinstance(place, list) and key == len(place):
        place.append(value)
    else:
        place[key] = value
    return None


def _key(place: Any, step: str | int, path: str, *, appending: bool) -> tuple[Any, Problem | None]:
    """Return what `step` means in `place`: a key of a dictionary or an index of a list; or what is wrong."""
    if isinstance(step, str) and not step.startswith("["):
        wrong = not isinstance(place, dict)
        return step, Problem(path, f"settings where {step} could stand", shortened(place)) if wrong else None
    if not isinstance(place, list):
        return step, Problem(path, "a list", shortened(place))
    index = _index(place, step)
    if index is None or index >= len(place) + appending:
        there = ", ".join(_named(place) or [str(number) for number in range(len(place))]) or "none"
        return step, Problem(path, f"one of the items there ({there})", str(step).strip("[]"))
    return index, None


def _index(items: list[Any], step: str | int) -> int | None:
    if isinstance(step, int):
        return step
    wanted = step[1:-1]
    return next(
        (
            index
            for index, item in enumerate(items)
            if isinstance(item, dict) and any(item.get(field) == wanted for field in NAMES)
        ),
        None,
    )
