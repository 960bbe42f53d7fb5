"""Writing the few shapes of TOML that a manifest has; the standard library only reads it."""

import json
from collections.abc import Mapping
from typing import Any


def toml_text(document: Mapping[str, Any]) -> str:
    r"""
    Write a table of plain values, tables and lists of tables.

    >>> print(toml_text({"entry": "a.b:C", "limits": {"memory": 1}, "settings": [{"name": "x"}]}), end="")
    entry = "a.b:C"
    <BLANKLINE>
    [limits]
    memory = 1
    <BLANKLINE>
    [[settings]]
    name = "x"
    """
    return "".join(_lines(document, ""))


def _lines(table: Mapping[str, Any], path: str) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        if not _is_table(value):
            continue
        name = f"{path}{_key(key)}"
        for one in [value] if isinstance(value, Mapping) else value:
            heading = f"\n[{name}]\n" if isinstance(value, Mapping) else f"\n[[{name}]]\n"
            lines += [heading, *_lines(one, f"{name}.")]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(one)}' for key, one in value.items())}}}"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    raise ValueError(f"expected a text, number, truth, list or table for TOML, found {value!r:.80}")
