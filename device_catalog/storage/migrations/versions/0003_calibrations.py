"""Calibrations of devices: what was measured of their channels, when and by whom."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "calibrations",
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
        sa.Column("made_us", sa.BigInteger, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
    )
