"""Faults of networks, with what was said of them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "faults",
        sa.Column("fault", sa.String(64), primary_key=True),
        sa.Column("network", sa.String(64), sa.ForeignKey("networks.network"), nullable=False),
        sa.Column("terminal", sa.String(128), nullable=False),
        sa.Column("start_ns", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("news", sa.Text, nullable=False),
    )
    op.create_index("faults_by_time", "faults", ["start_ns", "fault"])
    op.create_index("faults_by_network", "faults", ["network", "start_ns"])
