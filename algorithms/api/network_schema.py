"""
Reading a network document field by field, so that everything wrong with its form is found in one go.

Where it stands: first step of `network_problems.problems` and `network_reader.parse`. What has the right form goes on
to the rules; what has not is told here and left out, its id remembered so that nobody is blamed for referring to it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.forms import read_fields, read_struct
from algorithms.api.network_document import SCHEMA, NetworkDocument
from algorithms.api.network_equipment import Element

MAXIMUM_LENGTH = 64 * 1024 * 1024
"""Longest document read [bytes]."""

LARGEST = 1e15
"""No quantity of a distribution network is larger in SI units; squares of it are still far from what a double holds."""

unwritable = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that are no text: no XML may have them (XML 1.0, production 2), nor any database a NUL."""


class Form(msgspec.Struct, frozen=True):
    """
    What has the right form in a document, and what has not.

    Attributes
    ----------
    document : NetworkDocument or None
        With the elements that have the right form; None where nothing can be read at all.
    problems : tuple of Problem
    left_out : dict
        Ids of the elements that have not, each with the list it stands in.
    """

    document: NetworkDocument | None
    problems: tuple[Problem, ...] = ()
    left_out: dict[str, str] = {}


def read_form(document: bytes | Mapping[str, Any] | NetworkDocument) -> Form:
    """Read a document, as JSON, as plain objects or as itself, as far as it can be read."""
    if isinstance(document, bytes):
        if len(document) > MAXIMUM_LENGTH:
            found = f"{len(document)} bytes"
            return Form(None, (Problem("document", f"at most {MAXIMUM_LENGTH} bytes", found, "split it by areas"),))
        try:
            document = msgspec.json.decode(document)
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
            return Form(None, (Problem("document", "JSON", shortened(str(error))),))
    if isinstance(document, NetworkDocument):
        document = msgspec.to_builtins(document)
    if not isinstance(document, Mapping):
        return Form(None, (Problem("document", "a JSON object", shortened(document)),))
    return _piece_by_piece(document)


def _piece_by_piece(document: Mapping[str, Any]) -> Form:
    problems: list[Problem] = []
    left_out: dict[str, str] = {}
    values: dict[str, Any] = {}
    given = dict(document)
    schema = given.pop("schema", None)
    if schema != SCHEMA:
        problems.append(Problem("schema", SCHEMA, shortened(schema), "convert the document to this version"))
    for field in msgspec.structs.fields(NetworkDocument):
        element_type = get_args(field.type)[0] if get_args(field.type) else None
        if element_type is None or field.name not in given:
            continue
        items = given.pop(field.name)
        if not isinstance(items, list | tuple):
            problems.append(Problem(field.name, "a list", shortened(items)))
            continue
        elements = []
        for number, item in enumerate(items):
            identity = item.get("id") if isinstance(item, Mapping) else None
            where = f"{field.name}[{shortened(identity, 64) if isinstance(identity, str) else number}]"
            element, wrong = _element(element_type, item, where)
            problems += wrong
            if element is not None:
                elements.append(element)
            elif isinstance(identity, str):
                left_out[identity] = field.name
        values[field.name] = tuple(elements)
    head, wrong = read_fields(NetworkDocument, given, "")
    problems += wrong
    problems += [Problem(path, *words) for path, *words in _unfit({"name": head.get("name", "")})]
    values = {"network": "unnamed", "revision": 1, **head, **values}
    return Form(NetworkDocument(**values), tuple(problems), left_out)


def _element(element_type: type[Element], item: Any, where: str) -> tuple[Element | None, list[Problem]]:
    """Convert one element at once where that works, otherwise field by field to find all that is wrong."""
    if not isinstance(item, Mapping):
        return None, [Problem(where, "an object", shortened(item))]
    try:
        element = msgspec.convert(item, element_type)
    except msgspec.ValidationError as error:
        problems = read_struct(element_type, item, where)[1]
        return None, problems or [Problem(where, "a right element", shortened(str(error)))]
    problems = [
        Problem(f"{where}.{path}", expected, found, remedy)
        for path, expected, found, remedy in _unfit(msgspec.to_builtins(element))
    ]
    return (None if problems else element), problems


def _unfit(value: Any, path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Give numbers and text that no network has: where, what was expected, what was found, what to do."""
    if isinstance(value, float):
        if not abs(value) <= LARGEST:
            yield path, f"a finite number within ±{LARGEST:g}", str(value), "leave out what is not known"
    elif isinstance(value, str):
        if unwritable.search(value):
            yield path, "text", f"control characters ({shortened(value)})", "remove them"
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _unfit(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _unfit(item, f"{path}[{number}]")
