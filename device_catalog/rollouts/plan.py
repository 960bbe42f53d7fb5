"""
Who is next: a stable order of devices, how many each stage is for, and who may change at the same moment.

Each device has a place in the order of its rollout that follows from both their names alone, so that a restart, or
another catalog, or a device that joins later, moves nobody. Stages take devices in that order, as far as they are
there, and never more than their percentage. Pure.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from device_catalog.contract.rollout_rules import amount_of
from device_catalog.contract.rollouts import Amount, Budget


class Member(NamedTuple):
    """A device that a rollout is for, and where it is."""

    device: str
    network: str = ""
    area: str = ""


def place(rollout: str, device: str) -> float:
    """
    Give a device's place in the order of a rollout, from 0 to 1.

    >>> round(place("r-7", "m-0042"), 6)
    0.039519
    """
    digest = hashlib.sha256(f"{rollout}/{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def wanted(percent: float, members: int) -> int:
    """
    Tell how many devices a stage and those before are for: never more than the percentage, but one.

    >>> [wanted(percent, 250) for percent in (0.1, 1, 10, 100)]
    [1, 2, 25, 250]
    """
    return min(members, max(1, int(percent * members / 100 + 1e-9)))


def in_order(rollout: str, members: Iterable[Member]) -> list[Member]:
    """Sort devices by their places."""
    return sorted(members, key=lambda member: (place(rollout, member.device), member.device))


def pick(
    candidates: Iterable[Member],
    count: int,
    budget: Budget,
    changing: Iterable[Member],
    sizes: Mapping[tuple[str, str], int],
) -> list[Member]:
    """
    Choose the next devices.

    Parameters
    ----------
    candidates : iterable of Member
        In order.
    count : int
        At most so many.
    budget : Budget
    changing : iterable of Member
        Who is about to change already.
    sizes : mapping
        Meters of each network and area, by (network, area), and of each network, by (network, ""), for shares.

    Returns
    -------
    list of Member
    """
    areas: Counter[tuple[str, str]] = Counter()
    networks: Counter[str] = Counter()
    for member in changing:
        areas[member.network, member.area] += 1
        networks[member.network] += 1
    picked: list[Member] = []
    for member in candidates:
        if len(picked) >= count:
            break
        area, network = (member.network, member.area), member.network
        if member.area and areas[area] >= _most(budget.per_area, sizes.get(area, 1)):
            continue
        if network and networks[network] >= _most(budget.per_network, sizes.get((network, ""), 1)):
            continue
        areas[area] += 1
        networks[network] += 1
        picked.append(member)
    return picked


def _most(amount: Amount, of: int) -> float:
    """Read an amount of a budget: 0 is no limit, and a share is one at least."""
    if amount == 0:
        return float("inf")
    return max(1, amount_of(amount, of))
