"""
The tables, as the newest migration leaves them: one schema, long as it is, because a key is read beside what it names.

Times are UTC nanoseconds; documents are JSON text, whole, those of networks compressed (zlib); `network`, `area` and
`assignments` repeat what is in the configuration, so that a list can be filtered by the database.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

tenants = Table(
    "tenants",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("created_ns", BigInteger, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("device", String(64), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.tenant"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("description", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("interval", Double, nullable=False),
    Column("lease", Double, nullable=False),
    Column("terminal", String(128), nullable=False),
    Column("network", String(64), nullable=False),
    Column("area", String(64), nullable=False),
    Column("algorithms", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("removed_ns", BigInteger),
    Column("last_seen_ns", BigInteger),
    Column("applied_revision", BigInteger, nullable=False),
    Column("boot", BigInteger, nullable=False),
    Column("available", Boolean, nullable=False),
    Index("devices_by_tenant", "tenant", "device"),
    Index("devices_by_network", "network", "area", "device"),
)

configurations = Table(
    "configurations",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
    Column("issued_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
)

assignments = Table(
    "assignments",
    metadata,
    Column("algorithm", String(64), primary_key=True),
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Index("assignments_by_device", "device"),
)

reported = Table(
    "reported",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("document", Text, nullable=False),
    Column("services", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
)

commissionings = Table(
    "commissionings",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Index("commissionings_by_digest", "device", "sha256", unique=True),
)

recordings = Table(
    "recordings",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("recording", String(64), primary_key=True),
    Column("start_ns", BigInteger, nullable=False),
    Column("told_ns", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("on_device", Boolean, nullable=False),
    Column("requested", Boolean, nullable=False),
    Column("arrived_ns", BigInteger),
    Index("recordings_by_time", "start_ns", "device", "recording"),
    Index("recordings_by_arrival", "arrived_ns"),
    Index("recordings_requested", "requested", "device"),
    Index("recordings_by_file", "sha256"),
)

calibrations = Table(
    "calibrations",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("made_us", BigInteger, primary_key=True),
    Column("document", Text, nullable=False),
    Column("received_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
)

networks = Table(
    "networks",
    metadata,
    Column("network", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("topology_revision", BigInteger, nullable=False),
    Column("stored_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),
)

network_revisions = Table(
    "network_revisions",
    metadata,
    Column("network", String(64), ForeignKey("networks.network"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
)

topology_revisions = Table(
    "topology_revisions",
    metadata,
    Column("network", String(64), ForeignKey("networks.network"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("stored_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
)

network_leases = Table(
    "network_leases",
    metadata,
    Column("network", String(64), ForeignKey("networks.network"), primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("granted_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

faults = Table(
    "faults",
    metadata,
    Column("fault", String(64), primary_key=True),
    Column("network", String(64), ForeignKey("networks.network"), nullable=False),
    Column("terminal", String(128), nullable=False),
    Column("start_ns", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("news", Text, nullable=False),
    Index("faults_by_time", "start_ns", "fault"),
    Index("faults_by_network", "network", "start_ns"),
)

device_groups = Table(
    "device_groups",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Index("device_groups_by_device", "device"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("algorithm", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("plan", Text, nullable=False),
    Column("package", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("shadowing", Boolean, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("soaking_ns", BigInteger),
    Column("restoring", Boolean, nullable=False),
    Column("members", Integer, nullable=False),
    Column("away", Integer, nullable=False),
    Column("comparison", Text, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("changed_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Index("rollouts_by_algorithm", "algorithm", "state"),
)

rollout_devices = Table(
    "rollout_devices",
    metadata,
    Column("rollout", Integer, ForeignKey("rollouts.number"), primary_key=True),
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("back", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("since_ns", BigInteger, nullable=False),
    Column("judged_ns", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("step", String(32), nullable=False),
    Column("restarts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("log", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("shadow", Text, nullable=False),
    Index("rollout_devices_by_state", "rollout", "state"),
    Index("rollout_devices_by_device", "device"),
)

choices = Table(
    "choices",
    metadata,
    Column("device", String(64), ForeignKey("devices.device"), primary_key=True),
    Column("algorithm", String(64), primary_key=True),
    Column("rollout", Integer, ForeignKey("rollouts.number"), nullable=False),
    Column("document", Text, nullable=False),
    Index("choices_by_rollout", "rollout"),
)

leaders = Table(
    "leaders",
    metadata,
    Column("task", String(32), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until_ns", BigInteger, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("request", LargeBinary(32), nullable=False),
    Column("device", String(64), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Index("idempotency_by_age", "created_ns"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time_ns", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(32), nullable=False),
    Column("device", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_by_device", "device", "number"),
)

operators = Table(
    "operators",
    metadata,
    Column("operator", String(64), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("revoked_ns", BigInteger),
    Column("author", String(128), nullable=False),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("device", String(64), ForeignKey("devices.device"), nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("author", String(128), nullable=False),
    Column("used_ns", BigInteger),
    Column("key", LargeBinary(32)),
    Index("enrolments_by_device", "device"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("fingerprint", LargeBinary(32), primary_key=True),
    Column("device", String(64), ForeignKey("devices.device"), nullable=False),
    Column("serial", String(40), nullable=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("document", Text, nullable=False),
    Column("not_before_ns", BigInteger, nullable=False),
    Column("not_after_ns", BigInteger, nullable=False),
    Column("revoked_ns", BigInteger),
    Column("reason", Text, nullable=False),
    Index("certificates_by_device", "device", "not_before_ns"),
)

audit_trail = Table(
    "audit_trail",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("before", String(128), nullable=False),
    Column("after", String(128), nullable=False),
    Column("body", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_trail_by_tenant", "tenant", "number"),
)

acts_begun = Table(
    "acts_begun",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("time_ns", BigInteger, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("role", String(16), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("address", String(64), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", Text, nullable=False),
    Column("before", String(128), nullable=False),
    Column("body", String(64), nullable=False),
)

support = Table(
    "support",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("device", String(64), ForeignKey("devices.device"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("author", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_ns", BigInteger, nullable=False),
    Column("until_ns", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("label", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("support_by_device", "device", "number"),
    Index("support_by_state", "state", "until_ns"),
    sqlite_autoincrement=True,
)

support_lines = Table(
    "support_lines",
    metadata,
    Column("request", Integer, ForeignKey("support.number"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("time", String(40), nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", Text, nullable=False),
)

cluster_news = Table(
    "cluster_news",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=True),
    Column("subject", String(16), nullable=False),
    Column("name", String(128), nullable=False),
    Column("written_ns", BigInteger, nullable=False),
)

cluster_rounds = Table(
    "cluster_rounds",
    metadata,
    Column("member", String(64), primary_key=True),
    Column("round", BigInteger, primary_key=True),
    Column("written_ns", BigInteger, nullable=False),
    Column("tells", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("cluster_rounds_by_time", "written_ns"),
)

cluster_identity = Table(
    "cluster_identity",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
