"""
Compares a plain document with the type it should have, and tells every difference at once.

The usual decoder ends at the first difference. Here each field is compared by itself; what is wrong is replaced by a
stand-in that no rule of `validation` accepts, so that the rest can be judged and the problem is still named once.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from algorithms.api.errors import Problem, shortened

UNITS = {
    "sample_rate": "Hz",
    "nominal_frequency": "Hz",
    "nominal_voltage": "V",
    "block_duration": "s",
    "history": "s",
    "interval": "s",
    "lease": "s",
    "response": "s",
    "offset": "V",
    "phase_correction": "rad",
    "phase_uncertainty": "rad",
    "gain_drift": "1/year",
    "phase_drift": "rad/year",
    "publish": "1/s",
    "records_per_second": "1/s",
    "before": "s",
    "after": "s",
    "longest": "s",
    "budget": "bytes",
    "per_hour": "1/h",
    "upload_rate": "bytes/s",
    "memory": "bytes",
    "record_size": "bytes",
    "percent": "%",
    "soak": "s",
    "deadline": "s",
    "probation": "s",
    "rate": "bytes/s",
}
"""Units of the fields that have one."""

Document = TypeVar("Document", bound=msgspec.Struct)


def comply(
    document_type: type[Document], fields: Mapping[str, Any], where: str
) -> tuple[Document | None, list[Problem]]:
    """
    Read a plain document as far as it has the shape of its type.

    Returns
    -------
    document : Struct or None
        With stand-ins for what is wrong; None where nothing can be made of it.
    problems : list of Problem
        Every difference; empty when `document` holds exactly what was written.
    """
    shape = _Shape()
    usable = shape.read(inspect.type_info(document_type), fields, where)
    try:
        return msgspec.convert(usable, document_type), shape.problems
    except (msgspec.ValidationError, RecursionError) as error:
        if not shape.problems:  # a rule of the type that is not compared here
            shape.problems.append(Problem(where, "a document of the agreed shape", shortened(str(error), 200)))
        return None, shape.problems


class _Shape:
    """Walks through a document and its type together."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, expected: inspect.Type, value: Any, where: str) -> Any:
        """Return `value`, with stand-ins for what is wrong."""
        if isinstance(expected, inspect.UnionType):
            if value is None and any(isinstance(item, inspect.NoneType) for item in expected.types):
                return None
            structs = [item for item in expected.types if isinstance(item, inspect.StructType)]
            if structs:
                expected = structs[0]
        if isinstance(expected, inspect.StructType):
            if isinstance(value, Mapping):
                return self._struct(expected, value, where)
            return self._wrong(expected, where, value)
        if isinstance(expected, inspect.VarTupleType):
            if isinstance(value, list | tuple):
                return [self.read(expected.item_type, item, f"{where}[{index}]") for index, item in enumerate(value)]
            return self._wrong(expected, where, value)
        return self._leaf(expected, value, where)

    def _struct(self, expected: inspect.StructType, value: Mapping[str, Any], where: str) -> dict[str, Any]:
        known = {field.encode_name: field for field in expected.fields}
        result: dict[str, Any] = {}
        if expected.forbid_unknown_fields:
            for name in value:
                if name not in known and name != expected.tag_field:
                    self._unknown(str(name), list(known), where)
        if expected.tag_field is not None:
            result[expected.tag_field] = expected.tag
            tag = value.get(expected.tag_field, "nothing")
            if tag != expected.tag:
                self.problems.append(Problem(f"{where}.{expected.tag_field}", str(expected.tag), shortened(tag)))
        for name, field in known.items():
            path = f"{where}.{name}"
            if name in value:
                result[name] = self.read(field.type, value[name], path)
            elif field.required:
                self.problems.append(Problem(path, _words(field.type, name), "nothing", "state it"))
                result[name] = self._stand_in(field.type)
        return result

    def _unknown(self, name: str, known: list[str], where: str) -> None:
        near = difflib.get_close_matches(name[:80], known, n=1)
        remedy = f"did you mean {near[0]}?" if near else "remove it"
        path = f"{where}.{shortened(name, 40)}"
        self.problems.append(Problem(path, _alternatives(known), "an unknown field", remedy))

    def _leaf(self, expected: inspect.Type, value: Any, where: str) -> Any:
        try:
            msgspec.convert(value, _python_type(expected))
        except msgspec.ValidationError:
            remedy = ""
            if isinstance(expected, inspect.FloatType | inspect.IntType) and isinstance(value, str | Mapping):
                unit = UNITS.get(where.rpartition(".")[2])
                remedy = f"write the bare number in {unit}" if unit else "write the bare number"
            return self._wrong(expected, where, value, remedy)
        return value

    def _wrong(self, expected: inspect.Type, where: str, value: Any, remedy: str = "") -> Any:
        words = _words(expected, where.rpartition(".")[2])
        self.problems.append(Problem(where, words, shortened(value), remedy))
        return self._stand_in(expected)

    def _stand_in(self, expected: inspect.Type) -> Any:
        """Make a value of the type that no rule accepts, and that differs from every other stand-in."""
        match expected:
            case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
                tags = {} if tag_field is None else {tag_field: tag}
                return tags | {field.encode_name: self._stand_in(field.type) for field in fields if field.required}
            case inspect.UnionType(types=types):
                return self._stand_in(types[0])
            case inspect.EnumType(cls=cls):
                return next(iter(cls))
            case inspect.IntType():
                return -1 - len(self.problems)
            case inspect.StrType():
                return f"?{len(self.problems)}"
            case _:
                return _stand_ins.get(type(expected))


def _python_type(expected: inspect.Type) -> Any:
    match expected:
        case inspect.EnumType(cls=cls):
            return cls
        case inspect.UnionType(types=types):
            return _union([_python_type(item) for item in types])
        case _:
            return _leaf_types.get(type(expected), Any)


def _union(types: Sequence[Any]) -> Any:
    result = types[0]
    for item in types[1:]:
        result = result | item
    return result


def _words(expected: inspect.Type, name: str) -> str:
    unit = f" [{UNITS[name]}]" if name in UNITS else ""
    match expected:
        case inspect.EnumType(cls=cls):
            return _alternatives([str(member.value) for member in cls])
        case inspect.UnionType(types=types):
            return _alternatives([_words(item, "") for item in types])
        case inspect.FloatType():
            return f"a number{unit}"
        case inspect.IntType():
            return f"a whole number{unit}"
        case _:
            return _leaf_words.get(type(expected), "a value of the agreed type")


def _alternatives(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_leaf_types: dict[type[inspect.Type], Any] = {
    inspect.StrType: str,
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.NoneType: None,
    inspect.DictType: dict,
    inspect.DateTimeType: datetime,
}
_leaf_words: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.StructType: "a table",
    inspect.DictType: "a table",
    inspect.VarTupleType: "a list",
    inspect.DateTimeType: "a time such as 2026-01-31T12:00:00Z",
}
_stand_ins: dict[type[inspect.Type], Any] = {
    inspect.FloatType: math.nan,
    inspect.BoolType: False,
    inspect.DictType: {},
    inspect.VarTupleType: (),
    inspect.DateTimeType: datetime(1970, 1, 1, tzinfo=UTC),
}
