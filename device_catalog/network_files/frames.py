"""
Rows of pandapower's tables as plain values.

Where it stands: `pandapower_import` and its neighbours read tables only through this, so that what pandapower leaves
out (a missing column, NaN, None) is one thing: the value asked for instead.
"""

import math
from collections.abc import Iterator
from typing import Any

Row = dict[str, Any]


def rows(net: Any, table: str) -> Iterator[Row]:
    """Give the rows of a table, each with its ``index``; none where there is no such table."""
    frame = net.get(table)
    if frame is None or not len(frame):
        return
    for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
        yield row | {"index": index}


def number(row: Row, column: str, otherwise: float = 0.0) -> float:
    """Read a number."""
    value = row.get(column)
    try:
        found = float(value) if value is not None else math.nan
    except (TypeError, ValueError):
        return otherwise
    return found if math.isfinite(found) else otherwise


def volts(row: Row, column: str) -> float:
    """Read a nominal voltage in kV, cleaned of what single precision left of it, in V."""
    return float(f"{number(row, column) * 1e3:.6g}")


def has(row: Row, *columns: str) -> bool:
    """Tell whether a row has numbers in all of some columns."""
    return all(math.isfinite(number(row, column, math.nan)) for column in columns)


def text(row: Row, column: str) -> str:
    """Read a text."""
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""


def name_of(row: Row, kind: str) -> str:
    """Give what a row is called, in remarks."""
    return text(row, "name") or f"{kind} {row['index']}"


def master_id(row: Row) -> str:
    """Give the CIM mRID where pandapower kept it (its reader of CIM does, in ``origin_id``), or the name."""
    return text(row, "origin_id").lstrip("_") or text(row, "name")
