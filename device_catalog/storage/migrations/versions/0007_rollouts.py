"""Groups of devices; rollouts, what they chose for which device, and who carries them on."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "device_groups",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
    )
    op.create_index("device_groups_by_device", "device_groups", ["device"])
    op.create_table(
        "rollouts",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("algorithm", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("package", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("shadowing", sa.Boolean, nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("soaking_ns", sa.BigInteger),
        sa.Column("restoring", sa.Boolean, nullable=False),
        sa.Column("members", sa.Integer, nullable=False),
        sa.Column("away", sa.Integer, nullable=False),
        sa.Column("comparison", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("changed_ns", sa.BigInteger, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
    )
    op.create_index("rollouts_by_algorithm", "rollouts", ["algorithm", "state"])
    op.create_table(
        "rollout_devices",
        sa.Column("rollout", sa.Integer, sa.ForeignKey("rollouts.number"), primary_key=True),
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("back", sa.String(16), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("since_ns", sa.BigInteger, nullable=False),
        sa.Column("judged_ns", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("restarts", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("shadow", sa.Text, nullable=False),
    )
    op.create_index("rollout_devices_by_state", "rollout_devices", ["rollout", "state"])
    op.create_index("rollout_devices_by_device", "rollout_devices", ["device"])
    op.create_table(
        "choices",
        sa.Column("device", sa.String(64), sa.ForeignKey("devices.device"), primary_key=True),
        sa.Column("algorithm", sa.String(64), primary_key=True),
        sa.Column("rollout", sa.Integer, sa.ForeignKey("rollouts.number"), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("choices_by_rollout", "choices", ["rollout"])
    op.create_table(
        "leaders",
        sa.Column("task", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until_ns", sa.BigInteger, nullable=False),
    )
