"""Recordings of events: which there are, who asked for them, whose files are here."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "recordings",
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
        sa.Column("recording", sa.String(64), primary_key=True),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("told_ns", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("on_device", sa.Boolean, nullable=False),
        sa.Column("requested", sa.Boolean, nullable=False),
        sa.Column("arrived_ns", sa.BigInteger),
    )
    op.create_index("recordings_by_time", "recordings", ["start_ns", "device", "recording"])
    op.create_index("recordings_by_arrival", "recordings", ["arrived_ns"])
    op.create_index("recordings_requested", "recordings", ["requested", "device"])
    op.create_index("recordings_by_file", "recordings", ["sha256"])
