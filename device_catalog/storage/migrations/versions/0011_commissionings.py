"""Records of commissionings, which the database itself keeps from being changed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "commissionings",
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("received_ns", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("commissionings_by_digest", "commissionings", ["device", "sha256"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION commissionings_are_kept() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'records of commissionings are never changed'; END $$"
        )
        op.execute(
            "CREATE TRIGGER commissionings_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON commissionings "
            "FOR EACH STATEMENT EXECUTE FUNCTION commissionings_are_kept()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER commissionings_are_kept_{change.lower()} BEFORE {change} ON commissionings "
            "BEGIN SELECT RAISE(ABORT, 'records of commissionings are never changed'); END"
        )
