"""Requests for support: who asked a device for what and why, what became of it, and lines of its log."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_told = (
    ("INSERT OR DELETE", ""),
    ("UPDATE", "WHEN (OLD.state IS DISTINCT FROM NEW.state)"),
)


def upgrade() -> None:
    """Make the tables; where several catalogs may run, the database itself notes what is wanted of a device."""
    op.create_table(
        "support",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_ns", sa.BigInteger, nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("support_by_device", "support", ["device", "number"])
    op.create_index("support_by_state", "support", ["state", "until_ns"])
    op.create_table(
        "support_lines",
        sa.Column("request", sa.Integer, sa.ForeignKey("support.number"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("time", sa.String(40), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for number, (events, condition) in enumerate(_told):
            op.execute(
                f"CREATE TRIGGER cluster_notes_support_{number} AFTER {events} ON support "
                f"FOR EACH ROW {condition} EXECUTE FUNCTION cluster_notes('device')"
            )
