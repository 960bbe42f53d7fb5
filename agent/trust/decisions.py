"""
What time it is for judging an expiry, and which releases may still come in: pure.

A meter has no clock that survives a power cut, and a clock can be set wrong by whoever answers its time daemon. So:

- The trusted time is never before the *floor*: the time this program was released, the signing dates of what was
  verified, and the latest good time kept on the card. A clock that says less is behind, and does not count.
- A clock that says more counts only while the kernel says that it follows UTC. Expiry then stops new installations
  only: what runs goes on, and once the clock is right again so is everything.
- What is kept on the card is never beyond the expiry of a timestamp that was verified at that time. A clock that is
  ahead for a while therefore leaves nothing behind.
- Times that a timestamp key vouched for are forgotten when root replaces that key: it may have lied.
"""

import re
from datetime import UTC, datetime

import msgspec

from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.trust import TargetFacts

RELEASED = 1_793_491_200.0
"""When this program was released, 2026-11-01 [s since 1970]; raised with every release."""

_moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Reading(msgspec.Struct, frozen=True):
    """
    What the clock says.

    Attributes
    ----------
    time : float
        UTC [s since 1970].
    synchronised : bool
        Whether the kernel says that it follows UTC.
    """

    time: float
    synchronised: bool


class Floors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is kept on the card.

    Attributes
    ----------
    time : float
        The latest good time [s since 1970].
    timestamp_keys : tuple of str
        Under whose word it was kept.
    releases : dict
        The highest release of each algorithm that was ever let in.
    """

    time: float = 0.0
    timestamp_keys: tuple[str, ...] = ()
    releases: dict[str, int] = {}


def trusted_time(clock: Reading, floor: float) -> float:
    """
    Say at which time an expiry is judged [s since 1970].

    >>> trusted_time(Reading(0.0, True), 1_800_000_000.0)
    1800000000.0
    >>> trusted_time(Reading(1_900_000_000.0, False), 1_800_000_000.0)
    1800000000.0
    >>> trusted_time(Reading(1_800_000_060.0, True), 1_800_000_000.0)
    1800000060.0
    """
    return max(clock.time, floor) if clock.synchronised else floor


def floor_of(floors: Floors, timestamp_keys: tuple[str, ...], offline_issued: float) -> float:
    """
    Say before which time it cannot be [s since 1970].

    Parameters
    ----------
    floors : Floors
    timestamp_keys : tuple of str
        Those that root names now, sorted.
    offline_issued : float
        The latest signing date under root's or targets' keys [s since 1970].
    """
    kept = floors.time if floors.timestamp_keys == timestamp_keys else 0.0
    return max(RELEASED, offline_issued, kept)


def floors_after(
    floors: Floors, clock: Reading, timestamp_keys: tuple[str, ...], *, issued: float, expires: float, floor: float
) -> Floors:
    """
    Say what to keep after everything was verified.

    Parameters
    ----------
    floors : Floors
    clock : Reading
    timestamp_keys : tuple of str
    issued, expires : float
        Of the timestamp [s since 1970].
    floor : float
        What counted while it was verified.
    """
    heard = clock.time if clock.synchronised else 0.0
    time = max(floor, min(max(heard, issued), expires))
    return msgspec.structs.replace(floors, time=time, timestamp_keys=timestamp_keys)


def refusal_of_target(facts: TargetFacts | None, length: int, name: str, version: str, releases: dict[str, int]) -> str:
    """Say why a target that is signed by the right people is not taken all the same; empty where it is."""
    if facts is None or (facts.name, facts.version) != (name, version):
        return f"expected {name}=={version}, found a target that is signed as something else"
    if length > MAXIMUM_PACKAGE:
        return f"expected a package of at most {MAXIMUM_PACKAGE} bytes, found {length} declared"
    least = releases.get(name, 0)
    if facts.release < least:
        return (
            f"expected release {least} of {name} or a later one, found {facts.release}; a way back is a new release "
            "with the old content"
        )
    return ""


def with_release(floors: Floors, name: str, release: int) -> Floors:
    """Raise the floor of one algorithm."""
    highest = max(release, floors.releases.get(name, 0))
    return msgspec.structs.replace(floors, releases={**floors.releases, name: highest})


def moment(text: object) -> float:
    """Read when something was signed [s since 1970]; 0 where that is not said."""
    if not isinstance(text, str) or not _moment.fullmatch(text):
        return 0.0
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
