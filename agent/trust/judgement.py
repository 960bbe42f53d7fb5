"""
What a policy says to a document or an order that came in: pure; the verifying function comes in.

A document is judged in the order of what can be believed: first its signature, over the bytes as they came, then what
it says. Problems are values, told to whoever looks at the device; nothing here changes anything.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Command
from device_catalog.contract.documents import Desired
from device_catalog.contract.policy import Policy, matches, problems_with
from device_catalog.contract.signatures import order_bytes, read_signatures

Verify = Callable[[str, bytes, bytes], bool]
"""Tells whether a signature is that of some bytes, by a public key: key, signature, bytes."""


class DesiredFloor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is kept of the newest document that was in force, so that none comes again.

    Attributes
    ----------
    revision : int
    issued : float
        When it was signed [s since 1970].
    """

    revision: int = 0
    issued: float = 0.0


def problems_of_origin(policy: Policy, document: bytes, signature: str, verify: Verify) -> list[Problem]:
    """Say why a document is not that of a director of the policy; nothing where it is."""
    expected = "a document signed by a key that the policy names as director"
    found = read_signatures(signature)
    known = [(key, given) for name, given in found if (key := policy.director(name)) is not None]
    if not known:
        names = ", ".join(name for name, _ in found) or "no signature"
        return [Problem("signature", expected, names, "`tresma-catalog director-key` shows the catalog's")]
    if not any(verify(key.public, given, document) for key, given in known):
        return [Problem("signature", expected, f"a signature of {known[0][0].name} over something else")]
    return []


def is_forged(policy: Policy, document: bytes, signature: str, verify: Verify) -> bool:
    """Tell whether a document bears the name of a director that did not sign it."""
    known = [(key, given) for name, given in read_signatures(signature) if (key := policy.director(name)) is not None]
    return bool(known) and not any(verify(key.public, given, document) for key, given in known)


def problems_of_document(
    policy: Policy, desired: Desired, floor: DesiredFloor, *, now: float, policy_until: float
) -> list[Problem]:
    """
    Find everything in a document of a director that keeps it from being brought about.

    Parameters
    ----------
    policy : Policy
    desired : Desired
    floor : DesiredFloor
    now : float
        The trusted time [s since 1970].
    policy_until : float
        Until when the DSO's signatures under the policy count [s since 1970].
    """
    problems = []
    if now > policy_until:
        expected = f"a policy that counts at {_moment(now)}"
        problems.append(Problem("policy", expected, f"one until {_moment(policy_until)}", "sign targets anew"))
    if desired.expires is None:
        problems.append(Problem("expires", "a time after which it counts no more", "none"))
    elif desired.expires.timestamp() <= now:
        problems.append(Problem("expires", f"a time after {_moment(now)}", _moment(desired.expires.timestamp())))
    if desired.revision < floor.revision:
        problems.append(Problem("revision", f"{floor.revision} or newer", str(desired.revision), "revisions only grow"))
    elif desired.revision == floor.revision and desired.issued.timestamp() < floor.issued:
        remedy = "if a clock was ahead at the catalog, any change of the settings mends it"
        expected = f"one issued at {_moment(floor.issued)} or later"
        problems.append(Problem("issued", expected, _moment(desired.issued.timestamp()), remedy))
    return [*problems, *problems_with(policy, desired.device, desired.configuration, desired.calibration)]


def objection(policy: Policy, command: Command, device: str, network: str | None, verify: Verify) -> str:
    """
    Say why an order is not one of somebody who may give it; nothing where it is.

    Parameters
    ----------
    policy : Policy
    command : Command
    device : str
        This one.
    network : str or None
        Of an order to a switch; None for one to the device itself.
    verify : callable
    """
    key = policy.commander(command.key_id)
    if not command.signature or key is None:
        found = shortened(command.key_id, 40) if command.signature else "none; give a key"
        return f"expected the signature of a key that the policy lets command, found {found}"
    obeyed = matches(device, key.devices) if network is None else matches(network, key.networks)
    if not obeyed:
        return (
            f"expected a key that may command {shortened(device if network is None else network, 64)}, found {key.name}"
        )
    try:
        signature, signed = bytes.fromhex(command.signature), order_bytes(command)
    except (ValueError, TypeError, RecursionError):
        return f"expected a signature of {key.name}, found what cannot be read"
    right = verify(key.public, signature, signed)
    return "" if right else f"expected a signature of {key.name}, found one of somebody else or over another order"


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s"
