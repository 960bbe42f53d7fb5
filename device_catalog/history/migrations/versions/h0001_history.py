"""Series, rows, blocks and counters."""

import sqlalchemy as sa
from alembic import op

revision = "h0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "history_series",
        sa.Column("series", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("content", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.UniqueConstraint("device", "content", "tenant", "name", name="history_series_once"),
    )
    op.create_table(
        "history_rows",
        sa.Column("series", sa.Integer, sa.ForeignKey("history_series.series"), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True),
        sa.Column("time_ns", sa.BigInteger, primary_key=True),
        sa.Column("boot", sa.BigInteger, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "history_blocks",
        sa.Column("series", sa.Integer, sa.ForeignKey("history_series.series"), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True),
        sa.Column("start_ns", sa.BigInteger, primary_key=True),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_index("history_blocks_by_time", "history_blocks", ["level", "start_ns"])
    op.create_table(
        "history_counters",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
