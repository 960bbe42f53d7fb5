"""
Writes pages of history as tables: CSV, or Parquet where pyarrow is installed (the extra ``parquet``).

A row for each record or step. Times stand first; of a step's numbers each has its mean, its least and greatest value,
its uncertainty and its count in columns of its own. What a row has no value for is left empty, never filled.
"""

import csv
import importlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

from algorithms.api.wire import time_from_text
from device_catalog.contract.history import HistoryPage
from device_catalog.history.fields import values_of

Table = tuple[list[str], list[list[Any]]]


class ParquetMissing(Exception):  # noqa: N818 - says what it is
    """The library that writes Parquet is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "expected the package pyarrow, found none here; pip install 'tresma[parquet]', or ask for CSV instead"
        )


def table_of(pages: Iterable[HistoryPage], columns: Sequence[str] = ()) -> Table:
    """
    Lay pages out as one table.

    Parameters
    ----------
    pages : iterable of HistoryPage
    columns : sequence of str
        Those of a table that this one goes on; found from the content where empty.

    Returns
    -------
    columns : list of str
    rows : list of list
    """
    rows: list[dict[str, Any]] = []
    for page in pages:
        for record in page.records:
            values = record.values
            if record.record is not None:
                values = values_of(record.record)
            fixed = {"time": record.time, "name": record.name, "boot": record.boot, "number": record.number}
            rows.append({**fixed, **values})
        for step in page.steps:
            row: dict[str, Any] = {"time": step.time, "name": step.name, "records": step.records}
            for name, one in step.values.items():
                row[f"{name}.mean"], row[f"{name}.min"], row[f"{name}.max"] = one.mean, one.minimum, one.maximum
                row[f"{name}.u"], row[f"{name}.count"] = one.uncertainty, one.count
            rows.append(row)
    found = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
    return found, [[row.get(name) for name in found] for row in rows]


def csv_of(table: Table, *, header: bool = True) -> bytes:
    """Write a table as CSV (RFC 4180), UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(table[0])
    writer.writerows(table[1])
    return text.getvalue().encode()


def parquet_of(table: Table) -> bytes:
    """
    Write a table as Parquet; times as nanoseconds UTC.

    Raises
    ------
    ParquetMissing
    """
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise ParquetMissing from error
    names, rows = table
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
    arrays = [_array(arrow, name, column) for name, column in zip(names, columns, strict=True)]
    target = io.BytesIO()
    parquet.write_table(arrow.table(arrays, names=names), target, compression="zstd")
    return target.getvalue()


def _array(arrow: Any, name: str, column: Sequence[Any]) -> Any:
    if name == "time":
        return arrow.array([time_from_text(value) for value in column], arrow.timestamp("ns", tz="UTC"))
    if name == "name":
        return arrow.array(column, arrow.string())
    whole = name in ("boot", "number", "records") or name.endswith(".count")
    return arrow.array(column, arrow.int64() if whole else arrow.float64())
