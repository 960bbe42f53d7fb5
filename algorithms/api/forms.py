"""
Reading plain objects (JSON, TOML, YAML) as structs, with everything wrong found in one go.

msgspec stops at the first fault, which is right for machines; people who write a manifest or a network want to hear
of all faults at once, and what a misspelt field may have been meant to be.
"""

import difflib
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar, get_args

import msgspec

from algorithms.api.errors import Problem, shortened

StructType = TypeVar("StructType", bound=msgspec.Struct)


def read_struct(struct_type: type[StructType], found: Any, where: str = "") -> tuple[StructType | None, list[Problem]]:
    """
    Read `found` as a struct, unknown fields refused.

    Parameters
    ----------
    struct_type : type of msgspec.Struct
    found : object
    where : str
        Path of `found` in its document; empty for the document itself.

    Returns
    -------
    struct or None
        None where there are problems.
    list of Problem

    Examples
    --------
    >>> class Point(msgspec.Struct):
    ...     x: float
    ...     y: float
    >>> for problem in read_struct(Point, {"x": "1", "z": 2.0}, "point")[1]:
    ...     print(problem)
    point.z: expected x, y, found an unknown field; remove it
    point.x: expected `float`, found 1
    point.y: expected a value, found nothing; state it
    """
    if not isinstance(found, Mapping):
        return None, [Problem(where or "document", "a table", shortened(found))]
    values, problems = read_fields(struct_type, found, where)
    return (None, problems) if problems else (struct_type(**values), problems)


def read_fields(
    struct_type: type[msgspec.Struct], found: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Read each field of a struct by itself; give the right ones and what is wrong with the others."""
    prefix = f"{where}." if where else ""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    fields = {field.name: field for field in msgspec.structs.fields(struct_type)}
    for name in found:
        if name not in fields:
            near = difflib.get_close_matches(str(name)[:80], fields, n=1)
            remedy = f"did you mean {near[0]}?" if near else "remove it"
            problems.append(Problem(f"{prefix}{shortened(name, 40)}", ", ".join(fields), "an unknown field", remedy))
    for name, field in fields.items():
        if name in found:
            value, wrong = _read(field.type, found[name], f"{prefix}{name}")
            problems += wrong
            if not wrong:
                values[name] = value
        elif field.required:
            problems.append(Problem(f"{prefix}{name}", "a value", "nothing", "state it"))
    return values, problems


def _read(wanted: Any, found: Any, where: str) -> tuple[Any, list[Problem]]:
    inner = [
        part for part in (wanted, *get_args(wanted)) if isinstance(part, type) and issubclass(part, msgspec.Struct)
    ]
    if len(inner) == 1 and isinstance(found, Mapping):
        return read_struct(inner[0], found, where)
    if len(inner) == 1 and isinstance(found, list | tuple) and wanted is not inner[0]:
        read = [read_struct(inner[0], item, f"{where}[{number}]") for number, item in enumerate(found)]
        return tuple(item for item, _ in read), [problem for _, problems in read for problem in problems]
    try:
        return msgspec.convert(found, wanted), []
    except (msgspec.ValidationError, RecursionError) as error:
        return None, [Problem(where, _expected(wanted, str(error)), shortened(found))]


def _expected(wanted: Any, message: str) -> str:
    """Say what was expected, from what msgspec says of it; some of its messages tell only what was found."""
    expected, _, _ = message.partition(" - at")
    if expected.startswith("Invalid enum value"):
        choices = [part for part in (wanted, *get_args(wanted)) if isinstance(part, type) and issubclass(part, Enum)]
        return " or ".join(str(one.value) for choice in choices for one in choice) or "one of a few words"
    if "out of range" in expected:
        return "a number that fits into 64 bits"
    return expected.removeprefix("Expected ").partition(", got")[0]
