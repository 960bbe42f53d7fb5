"""Networks and where their switches stand, each with every revision."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "networks",
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("topology_revision", sa.BigInteger, nullable=False),
        sa.Column("stored_ns", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
    )
    for name in ("network_revisions", "topology_revisions"):
        op.create_table(
            name,
            sa.Column("network", sa.String(64), sa.ForeignKey("networks.network"), primary_key=True),
            sa.Column("revision", sa.BigInteger, primary_key=True),
            sa.Column("document", sa.LargeBinary, nullable=False),
            sa.Column("size", sa.BigInteger, nullable=False),
            sa.Column("stored_ns", sa.BigInteger, nullable=False),
            sa.Column("author", sa.String(128), nullable=False),
        )
