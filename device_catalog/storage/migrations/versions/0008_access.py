"""Operators, tokens of enrolment, certificates, the audit trail; whose a network is."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the tables."""
    op.add_column("networks", sa.Column("tenant", sa.String(64), nullable=False, server_default=""))
    op.create_table(
        "operators",
        sa.Column("operator", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger),
        sa.Column("revoked_ns", sa.BigInteger),
        sa.Column("author", sa.String(128), nullable=False),
    )
    op.create_table(
        "enrolments",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("used_ns", sa.BigInteger),
        sa.Column("key", sa.LargeBinary(32)),
    )
    op.create_index("enrolments_by_device", "enrolments", ["device"])
    op.create_table(
        "certificates",
        sa.Column("fingerprint", sa.LargeBinary(32), primary_key=True),
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), nullable=False),
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("key", sa.LargeBinary(32), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("not_before_ns", sa.BigInteger, nullable=False),
        sa.Column("not_after_ns", sa.BigInteger, nullable=False),
        sa.Column("revoked_ns", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("certificates_by_device", "certificates", ["device", "not_before_ns"])
    op.create_table(
        "audit_trail",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time_ns", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("before", sa.String(128), nullable=False),
        sa.Column("after", sa.String(128), nullable=False),
        sa.Column("body", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_trail_by_tenant", "audit_trail", ["tenant", "number"])
    _forbid_changes()


def _forbid_changes() -> None:
    """Let the database itself refuse to change or remove what is in the trail."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_trail_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit trail is never changed'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_trail_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_is_kept()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_trail_no_{change.lower()} BEFORE {change} ON audit_trail "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END"
        )
