"""
The REST addresses and headers.

One conditional GET is poll, heartbeat and acknowledgement: it renews the device's lease, says which revision it
applied, and brings the desired document only when it is newer than the one named in ``If-None-Match``.
"""

DEVICES = "/v1/devices"
DEVICE = "/v1/devices/{device}"
DESIRED = "/v1/devices/{device}/desired"
CONFIGURATION = "/v1/devices/{device}/configuration"
REPORTED = "/v1/devices/{device}/reported"
CREDENTIAL = "/v1/devices/{device}/credential"
HISTORY = "/v1/devices/{device}/history"
CALIBRATION = "/v1/devices/{device}/calibration"
RECORDINGS = "/v1/recordings"
RECORDING = "/v1/devices/{device}/recordings/{recording}"
RECORDING_REQUEST = "/v1/devices/{device}/recordings/{recording}/request"
RECORDING_FILE = "/v1/devices/{device}/recordings/{recording}/file"

DEVICE_NETWORK = "/v1/devices/{device}/network"
NETWORKS = "/v1/networks"
NETWORK = "/v1/networks/{network}"
NETWORK_REVISIONS = "/v1/networks/{network}/revisions"
NETWORK_REVISION = "/v1/networks/{network}/revisions/{revision}"
NETWORK_AREA = "/v1/networks/{network}/areas/{area}"
NETWORK_LEASE = "/v1/networks/{network}/lease"
NETWORK_LEASE_STATES = "/v1/networks/{network}/lease/states"
TOPOLOGY = "/v1/networks/{network}/topology"
TOPOLOGY_REVISIONS = "/v1/networks/{network}/topology/revisions"
TOPOLOGY_REVISION = "/v1/networks/{network}/topology/revisions/{revision}"

GROUPS = "/v1/groups"
GROUP = "/v1/groups/{group}"
GROUP_MEMBERS = "/v1/groups/{group}/members"

ROLLOUTS = "/v1/rollouts"
ROLLOUT = "/v1/rollouts/{rollout}"
ROLLOUT_DEVICES = "/v1/rollouts/{rollout}/devices"
ROLLOUT_ORDERS = "/v1/rollouts/{rollout}/orders"

FAULTS = "/v1/faults"
FAULT = "/v1/faults/{fault}"

KEPT = "/v1/history"
KEPT_DEVICE = "/v1/history/{device}"
KEPT_RECORDS = "/v1/history/{device}/{content}"

BOOT_HEADER = "Agent-Boot"
APPLIED_HEADER = "Agent-Applied-Revision"
OFFSET_HEADER = "Upload-Offset"
CURSOR_HEADER = "Next-Cursor"

MAXIMUM_DOCUMENT = 1024 * 1024
"""Longest document either side reads [bytes]."""


MAXIMUM_NETWORK = 16 * 1024 * 1024
"""Longest document of a network, or of an agent's part of one, that either side reads [bytes]."""


def etag(revision: int) -> str:
    """Write a revision as a strong entity tag."""
    return f'"{revision}"'


def revision_of(tag: str) -> int | None:
    """Read an entity tag back; None when it is none of ours."""
    text = tag.strip()
    if len(text) > 20 or len(text) < 3 or text[0] != '"' or text[-1] != '"' or not text[1:-1].isascii():
        return None
    return int(text[1:-1]) if text[1:-1].isdigit() else None
