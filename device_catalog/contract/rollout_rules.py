"""
Everything wrong with what a rollout is asked to do, as far as the request alone tells.

Whether the version is signed and whether the selection is empty only the catalog knows. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any

from algorithms.api.errors import Problem
from device_catalog.contract.groups import GroupChange
from device_catalog.contract.rollouts import (
    Amount,
    Budget,
    Order,
    RolloutOrder,
    RolloutRequest,
    Selector,
    ShadowTest,
    Stage,
)
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.validation import parse_document

MAXIMUM_STAGES = 20
MAXIMUM_NAMED = 10_000
"""Devices that a request names one by one."""
LONGEST = 90 * 86_400.0
"""Longest soak and deadline [s]."""
LONGEST_PROBATION = 86_400.0
"""[s]"""
SHORTEST_DEADLINE = 1.0
"""[s]"""

_version = re.compile(r"\d+\.\d+\.\d+([.-]?[A-Za-z0-9]+)*")
_algorithm = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_share = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%")


def amount_of(amount: Amount, of: int) -> int:
    """
    Turn an amount that is right into a number of devices; a share is rounded down.

    >>> amount_of("1%", 250), amount_of(3, 250)
    (2, 3)
    """
    if isinstance(amount, int):
        return amount
    share = _share.fullmatch(amount)
    return int(float(share[1]) * of / 100 + 1e-9) if share else 0


def parse_rollout(document: bytes | Mapping[str, Any]) -> RolloutRequest:
    """
    Read what an operator asks for.

    Raises
    ------
    DocumentError
        With every problem found.

    Examples
    --------
    >>> parse_rollout({"algorithm": "a", "version": "1.0.0", "to": {"groups": ["g"]}, "stages": [{"percent": 0}]})
    Traceback (most recent call last):
        ...
    device_catalog.contract.validation.DocumentError: rollout.stages[0].percent: expected a number above 0 and at most \
100 [%], found 0.0
    """
    return parse_document(RolloutRequest, document, "rollout", problems_of_rollout)


def parse_order(document: bytes | Mapping[str, Any]) -> RolloutOrder:
    """
    Read what is to be done with a rollout.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return parse_document(RolloutOrder, document, "order", _of_order)


def parse_group_change(document: bytes | Mapping[str, Any]) -> GroupChange:
    """
    Read who joins and who leaves a group.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return parse_document(GroupChange, document, "change", _of_group_change)


def problems_of_rollout(request: RolloutRequest, where: str = "rollout") -> list[Problem]:
    """Find everything wrong with what a request says."""
    problems = Problems()
    name = "a letter, then letters, digits, _ and - (at most 64)"
    problems.expect(bool(_algorithm.fullmatch(request.algorithm)), f"{where}.algorithm", name, request.algorithm)
    right = bool(_version.fullmatch(request.version)) and len(request.version) <= 64
    problems.expect(right, f"{where}.version", "a version such as 1.2.0", request.version)
    _of_selector(problems, request.to, f"{where}.to")
    _of_stages(problems, request.stages, f"{where}.stages")
    _amount(problems, request.max_failures, f"{where}.max_failures")
    problems.number(request.deadline, f"{where}.deadline", SHORTEST_DEADLINE, LONGEST)
    if request.probation is not None:
        problems.number(request.probation, f"{where}.probation", 0, LONGEST_PROBATION)
    _of_budget(problems, request.budget, f"{where}.budget")
    if request.shadow is not None:
        _of_shadow(problems, request.shadow, f"{where}.shadow")
        remedy = "leave one of the two out: what is added has nothing that it could be compared with"
        problems.expect(not request.add, f"{where}.shadow", "none where the algorithm is added", "both", remedy)
    problems.free(request.settings, f"{where}.settings")
    remedy = "add the algorithm with it, or change the settings in the devices' configurations"
    problems.expect(
        request.add or not request.settings, f"{where}.settings", "none where nothing is added", "some", remedy
    )
    return problems.found


def _of_selector(problems: Problems, selector: Selector, where: str) -> None:
    said = [name for name in selector.__struct_fields__ if name != "fixed" and getattr(selector, name)]
    remedy = "name a group, devices, a network, or what else they have in common"
    problems.expect(bool(said), where, "a selection of devices", "none", remedy)
    for name in ("groups", "devices"):
        names: tuple[str, ...] = getattr(selector, name)
        problems.expect(len(names) <= MAXIMUM_NAMED, f"{where}.{name}", f"at most {MAXIMUM_NAMED}", len(names))
        problems.unique(names, f"{where}.{name}", "name")
        for index, item in enumerate(names[:MAXIMUM_NAMED]):
            problems.expect(is_identifier(item), f"{where}.{name}[{index}]", IDENTIFIER, item)
    for name in ("tenant", "network", "area", "using"):
        value = getattr(selector, name)
        problems.expect(not value or is_identifier(value), f"{where}.{name}", IDENTIFIER, value)
    problems.expect(
        bool(selector.network or not selector.area), f"{where}.network", "the network that the area is part of", "none"
    )


def _of_stages(problems: Problems, stages: tuple[Stage, ...], where: str) -> None:
    problems.expect(0 < len(stages) <= MAXIMUM_STAGES, where, f"1 to {MAXIMUM_STAGES} stages", len(stages))
    before = 0.0
    for index, stage in enumerate(stages[:MAXIMUM_STAGES]):
        right = problems.number(stage.percent, f"{where}[{index}].percent", 0, 100, above=True)
        if right and before:
            expected = f"more than the {before:g} of the stage before"
            problems.expect(stage.percent > before, f"{where}[{index}].percent", expected, f"{stage.percent:g}")
        before = max(before, stage.percent) if right else before
        problems.number(stage.soak, f"{where}[{index}].soak", 0, LONGEST)


def _of_budget(problems: Problems, budget: Budget, where: str) -> None:
    _amount(problems, budget.per_area, f"{where}.per_area")
    _amount(problems, budget.per_network, f"{where}.per_network")


def _of_shadow(problems: Problems, shadow: ShadowTest, where: str) -> None:
    problems.number(shadow.percent, f"{where}.percent", 0, 100, above=True)
    problems.number(shadow.soak, f"{where}.soak", 0, LONGEST)
    for name in ("differing", "missing", "extra"):
        problems.number(getattr(shadow, name), f"{where}.{name}", 0, 1)
    problems.number(shadow.largest, f"{where}.largest", 0, 1e9)
    for name in ("processor_ratio", "memory_ratio"):
        problems.number(getattr(shadow, name), f"{where}.{name}", 0, 1000, above=True)
    problems.expect(0 < shadow.compared <= 10**12, f"{where}.compared", "1 or more", shadow.compared)
    problems.expect(0 <= shadow.crashes <= 10**6, f"{where}.crashes", "0 or more", shadow.crashes)


def _amount(problems: Problems, amount: Amount, where: str) -> None:
    expected = "a number of devices such as 3, or a share such as 1%"
    if isinstance(amount, int):
        problems.expect(0 <= amount <= 10**7, where, expected, amount)
        return
    share = _share.fullmatch(amount)
    problems.expect(share is not None and float(share[1]) <= 100, where, expected, amount)


def _of_order(order: RolloutOrder, where: str) -> list[Problem]:
    problems = Problems()
    length = len(order.reason)
    problems.expect(length <= 500, f"{where}.reason", "at most 500 characters", f"{length} characters")
    right = order.order is Order.PROMOTE or not order.anyway
    problems.expect(right, f"{where}.anyway", f"nothing where the order is {order.order.value}", "true")
    return problems.found


def _of_group_change(change: GroupChange, where: str) -> list[Problem]:
    problems = Problems()
    problems.expect(bool(change.add or change.remove), where, "devices to add or to remove", "none")
    for name in ("add", "remove"):
        names: tuple[str, ...] = getattr(change, name)
        problems.expect(len(names) <= MAXIMUM_NAMED, f"{where}.{name}", f"at most {MAXIMUM_NAMED}", len(names))
        for index, item in enumerate(names[:MAXIMUM_NAMED]):
            problems.expect(is_identifier(item), f"{where}.{name}[{index}]", IDENTIFIER, item)
    both = sorted({*change.add} & {*change.remove})
    problems.expect(not both, where, "each device on one side", ", ".join(both))
    return problems.found
