"""
Settings without secrets: what the agreed documents know is let through, everything else is only counted. Pure.

Where it stands: whatever document goes into a support bundle passes through here. It is a list of what may pass, not of
what may not: a field that the schema does not know is left out with its name, because a name can be a secret too. What
is free in the schema, the settings of an algorithm and the options of a driver, passes where the algorithm or driver
declares it. Texts are scrubbed besides (`scrubbing`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from agent.support.scrubbing import Scrubber
from algorithms.api.settings import Setting

LONGEST_TEXT = 300
"""Longest text of a setting that is let through [characters]."""

UNKNOWN = "left out: not known by the schema"
"""Under this key stands how many fields were left out."""

Declared = Callable[[str, str], Sequence[Setting] | None]
"""Tells what an algorithm (``algorithms``) or a driver (``drivers``) of a name declares; None where nobody knows."""

_declaring = {"settings": ("algorithms", "algorithm"), "options": ("drivers", "driver")}
_deepest = 12


def redacted(document_type: type[msgspec.Struct], fields: Any, scrubber: Scrubber, declared: Declared) -> Any:
    """
    Let through of a plain document what its type knows.

    Parameters
    ----------
    document_type : type
    fields : object
        As read from JSON or YAML, whatever it is.
    scrubber : Scrubber
    declared : callable

    Examples
    --------
    >>> from device_catalog.contract.documents import Poll
    >>> redacted(Poll, {"interval": 5, "hunter2": "x"}, Scrubber(), lambda *_: None)
    {'interval': 5, 'left out: not known by the schema': 1}
    """
    return _Redaction(scrubber, declared).value(inspect.type_info(document_type), fields)


class _Redaction:
    def __init__(self, scrubber: Scrubber, declared: Declared) -> None:
        self._scrubber = scrubber
        self._declared = declared

    def value(self, expected: inspect.Type, value: Any) -> Any:
        if value is None:
            return None
        options = expected.types if isinstance(expected, inspect.UnionType) else (expected,)
        for option in options:
            if isinstance(option, inspect.StructType) and isinstance(value, Mapping):
                return self._struct(option, value)
            if isinstance(option, inspect.VarTupleType) and isinstance(value, list | tuple):
                return [self.value(option.item_type, item) for item in value[:1000]]
            if isinstance(option, inspect.DictType) and isinstance(value, Mapping):
                return self._named(option, value)
        return self._leaf(options, value)

    def _struct(self, expected: inspect.StructType, value: Mapping[Any, Any]) -> dict[str, Any]:
        known = {field.encode_name: field for field in expected.fields}
        kept: dict[str, Any] = {}
        if expected.tag_field is not None and value.get(expected.tag_field) == expected.tag:
            kept[expected.tag_field] = expected.tag
        for name, field in known.items():
            if name not in value:
                continue
            free = isinstance(field.type, inspect.DictType) or any(
                isinstance(one, inspect.DictType) for one in getattr(field.type, "types", ())
            )
            if free and name in _declaring and isinstance(value[name], Mapping):
                kept[name] = self._settings(_declaring[name], value, value[name])
            else:
                kept[name] = self.value(field.type, value[name])
        unknown = sum(1 for name in value if name not in known and name != expected.tag_field)
        return {**kept, UNKNOWN: unknown} if unknown else kept

    def _settings(self, kind: tuple[str, str], owner: Mapping[Any, Any], given: Mapping[Any, Any]) -> dict[str, Any]:
        """Let through what whoever these settings are for declares."""
        declared = self._declared(kind[0], str(owner.get(kind[1], "")))
        if declared is None:
            return {"left out: nobody here knows what belongs to it": len(given)}
        known = {setting.name: setting for setting in declared}
        kept = {name: self._setting(known[name], given[name]) for name in known if name in given}
        unknown = sum(1 for name in given if name not in known)
        return {**kept, UNKNOWN: unknown} if unknown else kept

    def _setting(self, setting: Setting, value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == {"value", "unit"}:
            value = value["value"]
        if setting.type == "text":
            return self._text(value) if isinstance(value, str) else _said(value)
        if setting.type in ("list", "object"):
            return self._numbers(value, 0)
        return value if isinstance(value, int | float) else _said(value)

    def _numbers(self, value: Any, depth: int) -> Any:
        """Let numbers through, and short plain words: what such a setting holds, its declaration does not say."""
        if depth > _deepest:
            return _said(value)
        if isinstance(value, list | tuple):
            return [self._numbers(item, depth + 1) for item in value[:1000]]
        if isinstance(value, Mapping):
            known = {str(key): item for key, item in value.items() if _is_plain(key)}
            kept = {key: self._numbers(item, depth + 1) for key, item in known.items()}
            return {**kept, UNKNOWN: len(value) - len(known)} if len(known) < len(value) else kept
        return value if isinstance(value, bool | int | float) or value is None or _is_plain(value) else _said(value)

    def _named(self, expected: inspect.DictType, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Let a table by name through, such as the links: what is in it has a type of its own."""
        kept: dict[str, Any] = {}
        for name, item in list(value.items())[:1000]:
            if isinstance(expected.value_type, inspect.StructType | inspect.BoolType) and _is_plain(name):
                kept[str(name)] = self.value(expected.value_type, item)
        unknown = len(value) - len(kept)
        return {**kept, UNKNOWN: unknown} if unknown else kept

    def _leaf(self, options: Sequence[inspect.Type], value: Any) -> Any:
        for option in options:
            match option:
                case inspect.EnumType(cls=cls) if isinstance(value, str):
                    return value if value in {str(member.value) for member in cls} else _said(value)
                case inspect.StrType() | inspect.DateTimeType() | inspect.LiteralType() if isinstance(value, str):
                    return self._text(value)
                case inspect.BoolType() | inspect.IntType() | inspect.FloatType() if isinstance(
                    value, bool | int | float
                ):
                    return value
                case _:
                    continue
        return _said(value)

    def _text(self, text: str) -> str:
        return self._scrubber.text(text) if len(text) <= LONGEST_TEXT else _said(text)


def _is_plain(value: object) -> bool:
    """Tell whether something is a short word as names of channels, phases and profiles are."""
    return isinstance(value, str) and 0 < len(value) <= 16 and value.isascii() and value.replace("_", "").isalnum()


def _said(value: object) -> str:
    length = f" of {len(value)} characters" if isinstance(value, str) else ""
    return f"(left out: {type(value).__name__}{length})"
