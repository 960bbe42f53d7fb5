"""What several catalogs at one database tell each other: what was changed, whom they heard, that they are one."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_told = (
    ("devices", "device", "INSERT OR DELETE OR UPDATE OF tenant, revision, interval, lease, removed_ns", ""),
    ("credentials", "device", "INSERT OR DELETE OR UPDATE", ""),
    ("operators", "operator", "INSERT OR DELETE OR UPDATE", ""),
    ("certificates", "device", "INSERT OR DELETE OR UPDATE", ""),
    ("networks", "network", "INSERT OR DELETE OR UPDATE", ""),
    ("recordings", "device", "INSERT", "WHEN (NEW.requested)"),
    ("recordings", "device", "DELETE", "WHEN (OLD.requested)"),
    ("recordings", "device", "UPDATE", "WHEN (OLD.requested IS DISTINCT FROM NEW.requested)"),
)


def upgrade() -> None:
    """Make the tables; where several catalogs may run, the database itself notes what is changed."""
    op.create_table(
        "cluster_news",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("written_ns", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cluster_rounds",
        sa.Column("member", sa.String(64), primary_key=True),
        sa.Column("round", sa.BigInteger, primary_key=True),
        sa.Column("written_ns", sa.BigInteger, nullable=False),
        sa.Column("tells", sa.Boolean, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index("cluster_rounds_by_time", "cluster_rounds", ["written_ns"])
    op.create_table(
        "cluster_identity",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE cluster_rounds SET UNLOGGED")
        _have_changes_noted()


def _have_changes_noted() -> None:
    """Have notes written with the change; the lock (any number) keeps them numbered in the order of commits."""
    op.execute(
        "CREATE FUNCTION cluster_notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock(1953655397); "
        "INSERT INTO cluster_news (subject, name, written_ns) VALUES (TG_TABLE_NAME, "
        "CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END ->> TG_ARGV[0], "
        "CAST(extract(epoch FROM clock_timestamp()) * 1000000000 AS bigint)); RETURN NULL; END $$"
    )
    for number, (table, column, events, condition) in enumerate(_told):
        op.execute(
            f"CREATE TRIGGER cluster_notes_{number} AFTER {events} ON {table} "
            f"FOR EACH ROW {condition} EXECUTE FUNCTION cluster_notes('{column}')"
        )
