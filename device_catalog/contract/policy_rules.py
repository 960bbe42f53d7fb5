"""
Reading a policy: everything wrong with it is found at once, on an operator's machine, in the catalog and on devices.

`policy` says what its parts mean. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.contract.documents import Configuration
from device_catalog.contract.policy import (
    CALIBRATION,
    CONSTANTS,
    MAXIMUM_POLICY,
    PATTERN,
    Bound,
    CommandKey,
    DirectorKey,
    Policy,
)
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.shape import comply
from device_catalog.contract.topics import is_identifier

MAXIMUM_ENTRIES = 1000
"""Longest list in a policy."""

_hexadecimal = re.compile(r"[0-9a-f]{64}")
_broker = re.compile(r"mqtts?://(\*|(\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class PolicyError(ProblemsError):
    """A policy is refused whole, with every problem found in it."""


def parse_policy(document: bytes) -> Policy:
    """
    Read a policy.

    Raises
    ------
    PolicyError
        With every problem found.

    Examples
    --------
    >>> parse_policy(b'{"schema": "policy/1", "revision": 0, "directors": [], "broker": []}')
    Traceback (most recent call last):
        ...
    device_catalog.contract.policy_rules.PolicyError: policy.broker: expected revision, directors, brokers, \
commanders, authorities, bounds, commanding or bubblewrap, found an unknown field; did you mean brokers?; \
policy.brokers: expected a list, found nothing; state it; policy.revision: expected 1 or more, found 0; \
policy.directors: expected at least one key, found none; `tresma-catalog director-key` shows a catalog's
    """
    if len(document) > MAXIMUM_POLICY:
        raise PolicyError([Problem("policy", f"at most {MAXIMUM_POLICY} bytes", f"{len(document)} bytes")])
    try:
        fields = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise PolicyError([Problem("policy", "JSON", shortened(str(error), 200))]) from error
    if not isinstance(fields, dict):
        raise PolicyError([Problem("policy", "a JSON object", shortened(fields))])
    policy, problems = comply(Policy, fields, "policy")
    if policy is not None:
        named = {problem.where for problem in problems}
        problems.extend(problem for problem in _problems_of(policy) if problem.where not in named)
    if problems or policy is None:
        raise PolicyError(problems)
    return policy


def _problems_of(policy: Policy) -> list[Problem]:
    problems = Problems()
    problems.expect(policy.revision >= 1, "policy.revision", "1 or more", policy.revision)
    if not policy.directors:
        remedy = "`tresma-catalog director-key` shows a catalog's"
        problems.expect(False, "policy.directors", "at least one key", "none", remedy)
    keys: dict[str, str] = {}
    named: list[tuple[str, DirectorKey | CommandKey]] = [
        *_numbered("policy.directors", policy.directors),
        *_numbered("policy.commanders", policy.commanders),
    ]
    for where, key in named:
        problems.expect(is_identifier(key.name), f"{where}.name", IDENTIFIER, key.name)
        right = bool(_hexadecimal.fullmatch(key.public))
        problems.expect(right, f"{where}.public", "an ed25519 key, 64 hexadecimal digits in lower case", key.public)
        if right:
            known = keys.setdefault(key.public, where)
            remedy = "a key is for one thing"
            problems.expect(known == where, f"{where}.public", f"another key than that of {known}", "the same", remedy)
    for index, key in enumerate(policy.commanders):
        where = f"policy.commanders[{index}]"
        problems.expect(bool(key.networks or key.devices), where, "networks or devices that obey it", "neither")
        _patterns(problems, key.networks, f"{where}.networks")
        _patterns(problems, key.devices, f"{where}.devices")
    problems.unique((key.name for _, key in named), "policy", "name of a key")
    for field in ("directors", "commanders", "bounds", "brokers", "authorities", "commanding"):
        length = len(getattr(policy, field))
        problems.expect(length <= MAXIMUM_ENTRIES, f"policy.{field}", f"at most {MAXIMUM_ENTRIES}", length)
    for where, broker in _numbered("policy.brokers", policy.brokers):
        expected = "mqtts://HOST, mqtts://*.DOMAIN or mqtts://*, with a port or without (mqtt:// where there is no TLS)"
        problems.expect(bool(_broker.fullmatch(broker)), where, expected, broker)
    for where, authority in _numbered("policy.authorities", policy.authorities):
        right = bool(_hexadecimal.fullmatch(authority))
        problems.expect(right, where, "the SHA-256 of a certificate, 64 hexadecimal digits in lower case", authority)
    for where, name in _numbered("policy.commanding", policy.commanding):
        problems.expect(is_identifier(name), where, IDENTIFIER, name)
    for where, bound in _numbered("policy.bounds", policy.bounds):
        _of_bound(problems, bound, where)
    return problems.found


def _of_bound(problems: Problems, bound: Bound, where: str) -> None:
    first, _, rest = bound.setting.partition(".")
    fields = {field.name: field.type for field in msgspec.structs.fields(Configuration)}
    remedy = "brokers have patterns of their own" if first == "brokers" else ""
    parts = ", ".join((*(name for name in fields if name != "brokers"), CALIBRATION))
    is_known = (first in fields and first != "brokers") or first == CALIBRATION
    problems.expect(is_known, f"{where}.setting", f"one of {parts}", bound.setting, remedy)
    if first == "algorithms":
        name, _, field = rest.partition(".")
        right = not rest or (is_identifier(name) and is_identifier(field))
        expected = "algorithms, or algorithms.NAME.SETTING"
        problems.expect(right, f"{where}.setting", expected, bound.setting)
    elif first == CALIBRATION:
        _of_constant(problems, bound, rest, where)
    elif first in fields and rest:
        known = _fields_of(fields[first])
        expected = f"one of {', '.join(f'{first}.{name}' for name in known)}"
        problems.expect(rest.partition(".")[0] in known, f"{where}.setting", expected, bound.setting)
    limited = bound.minimum is not None or bound.maximum is not None or bound.allowed is not None or bound.stated
    problems.expect(limited, where, "minimum, maximum, allowed or stated", "none of them")
    if bound.minimum is not None and bound.maximum is not None:
        ordered = bound.minimum <= bound.maximum
        problems.expect(ordered, f"{where}.minimum", f"at most the maximum, {bound.maximum:g}", bound.minimum)
    _patterns(problems, bound.devices, f"{where}.devices")


def _of_constant(problems: Problems, bound: Bound, name: str, where: str) -> None:
    whole = not name and bound.allowed == (None,) and bound.minimum is None and bound.maximum is None
    expected = f"calibration (allowed: [null]), or one of {', '.join(f'{CALIBRATION}.{one}' for one in CONSTANTS)}"
    problems.expect(whole or name in CONSTANTS, f"{where}.setting", expected, bound.setting)
    remedy = "a channel that states none has the constant's default"
    problems.expect(not bound.stated, f"{where}.stated", "false for a calibration", "true", remedy)


def _fields_of(kind: Any) -> list[str]:
    """List the fields of a struct, also of one that may be missing."""
    kinds = getattr(kind, "__args__", (kind,))
    return [field.name for one in kinds if hasattr(one, "__struct_fields__") for field in msgspec.structs.fields(one)]


def _patterns(problems: Problems, patterns: tuple[str, ...], where: str) -> None:
    problems.expect(len(patterns) <= MAXIMUM_ENTRIES, where, f"at most {MAXIMUM_ENTRIES}", len(patterns))
    for path, pattern in _numbered(where, patterns):
        expected = "letters, digits, _ and - (at most 64), with * for anything"
        problems.expect(bool(PATTERN.fullmatch(pattern)), path, expected, pattern)


def _numbered(where: str, items: Sequence[Any]) -> Iterable[tuple[str, Any]]:
    for index, item in enumerate(items):
        yield f"{where}[{index}]", item
