"""
The tables of the history, as its newest migration leaves them; a database of their own, or beside the catalog's.

New records stand in `rows`, one each, under a key that a repeated message meets again. Once their stretch of time has
settled they move, packed, into `blocks`. Level 0 is what was heard, level 1 the one-minute sums of it.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy import UniqueConstraint as Unique

metadata = MetaData()

series = Table(
    "history_series",
    metadata,
    Column("series", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("content", String(16), nullable=False),
    Column("name", String(128), nullable=False),
    Unique("device", "content", "tenant", "name", name="history_series_once"),
)

rows = Table(
    "history_rows",
    metadata,
    Column("series", Integer, ForeignKey("history_series.series"), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("time_ns", BigInteger, primary_key=True),
    Column("boot", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

blocks = Table(
    "history_blocks",
    metadata,
    Column("series", Integer, ForeignKey("history_series.series"), primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("start_ns", BigInteger, primary_key=True),
    Column("records", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Index("history_blocks_by_time", "level", "start_ns"),
)

counters = Table(
    "history_counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
