"""
What a DSO allows: who may say what devices should do, who may give orders, and how far settings may go.

A policy is a target of the signed repository (`POLICY_PATH`), so it bears the signatures of enough keys of targets. A
catalog chooses among what it allows; a device refuses the rest, whoever runs the catalog. `policy_rules` reads one,
here a configuration is judged by one, and every problem is found: the same on an operator's machine and on a device.
Pure.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import msgspec

from algorithms.api.errors import Problem, shortened
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.documents import Assignment, Configuration, Strict
from device_catalog.contract.rules import Problems
from device_catalog.contract.signatures import key_id
from device_catalog.contract.topics import BROKERS

POLICY_PATH = "policy/policy.json"
"""Among the targets of the signed repository."""
MAXIMUM_POLICY = 256 * 1024
"""Longest policy [bytes]."""
PATTERN = re.compile(r"[A-Za-z0-9_*-]{1,64}")
"""Names of devices and networks, with ``*`` for anything."""

CALIBRATION = "calibration"
"""First part of a setting that is a constant of the channels."""
CONSTANTS = (
    "ratio",
    "gain",
    "offset",
    "phase_correction",
    "gain_uncertainty",
    "phase_uncertainty",
    "gain_drift",
    "phase_drift",
)
"""The constants of a channel, as a calibration names them."""

_anywhere = ("*",)
_NOTHING = msgspec.UNSET
"""Stands for a setting that is not stated; null is a value."""


class DirectorKey(Strict, frozen=True):
    """A key that may sign desired documents: a catalog's, under a name for people; ed25519 in hexadecimal."""

    name: str
    public: str


class CommandKey(Strict, frozen=True):
    """
    A key that may sign orders.

    Attributes
    ----------
    name : str
        Whose it is: a person, or the device whose reconfigurator has it.
    public : str
        ed25519, in hexadecimal.
    networks : tuple of str
        Networks whose switches it may move; ``*`` stands for anything.
    devices : tuple of str
        Devices whose algorithms obey it.
    """

    name: str
    public: str
    networks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


class Bound(Strict, frozen=True):
    """
    How far one setting may go; where several are about the same, all of them count.

    Attributes
    ----------
    setting : str
        ``poll.interval``, ``acquisition.driver``, ``outputs.c37_118``, ``algorithms.NAME.SETTING`` for a setting of an
        algorithm, ``algorithms`` for which of them are run. ``calibration.gain`` and the like for a constant of the
        channels, wherever a catalog states it: in the settings of a channel, or in a calibration that it hands out.
        ``calibration`` with ``null`` as the only value: none is taken from a catalog.
    minimum, maximum : float or None
        In the setting's own unit.
    allowed : tuple or None
        The only values.
    stated : bool
        Whether it must be stated, by each assignment of the algorithm, and by settings that a shadow of it has of its
        own; what is not stated is as the algorithm has it by default.
    devices : tuple of str
        Whom it concerns; ``*`` stands for anything.
    """

    setting: str
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Any, ...] | None = None
    stated: bool = False
    devices: tuple[str, ...] = _anywhere


class Policy(Strict, frozen=True, tag_field="schema", tag="policy/1"):
    """
    What a DSO allows.

    Attributes
    ----------
    revision : int
        Grows with every change.
    directors : tuple of DirectorKey
        Several while a key is replaced by another.
    commanders : tuple of CommandKey
        None where nobody may give orders.
    brokers : tuple of str
        ``mqtts://broker.example.org:8883``, ``mqtts://*.example.org``, ``mqtt://*``; any port where none is stated.
    authorities : tuple of str
        SHA-256 of the certificates (DER) of authorities that catalog and brokers may be certified by; empty for those
        of the device's own configuration.
    bounds : tuple of Bound
    commanding : tuple of str
        Algorithms for whose orders a device may use its command key.
    bubblewrap : bool
        Whether code of publishers, whom targets' keys let in, runs in bubblewrap or not at all.
    """

    revision: int
    directors: tuple[DirectorKey, ...]
    brokers: tuple[str, ...]
    commanders: tuple[CommandKey, ...] = ()
    authorities: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    commanding: tuple[str, ...] = ("reconfiguration",)
    bubblewrap: bool = True

    def director(self, identity: str) -> DirectorKey | None:
        """Find a key that may sign desired documents, by its id."""
        return next((key for key in self.directors if key_id(key.public) == identity), None)

    def commander(self, identity: str) -> CommandKey | None:
        """Find a key that may sign orders, by its id."""
        return next((key for key in self.commanders if key_id(key.public) == identity), None)


def problems_with(
    policy: Policy, device: str, configuration: Configuration, calibration: Calibration | None = None
) -> list[Problem]:
    """
    Find everything that a policy does not allow in what a device should do; an empty list means that it does.

    Parameters
    ----------
    policy : Policy
    device : str
    configuration : Configuration
    calibration : Calibration or None
        That comes with it.

    Examples
    --------
    >>> policy = Policy(1, (DirectorKey("catalog", "00" * 32),), ("mqtts://*.example.org",))
    >>> from device_catalog.contract.documents import Brokers
    >>> evil = Configuration(Brokers(grid=("mqtts://example.org.evil.example",)))
    >>> for problem in problems_with(policy, "m-1", evil):
    ...     print(problem)
    brokers.grid[0]: expected a broker that the policy allows, found mqtts://example.org.evil.example
    """
    problems = Problems()
    for name in BROKERS:
        for index, endpoint in enumerate(getattr(configuration.brokers, name)):
            allowed = any(_is_within(endpoint, pattern) for pattern in policy.brokers)
            where = f"brokers.{name}[{index}]"
            problems.expect(allowed, where, "a broker that the policy allows", endpoint)
    for bound in policy.bounds:
        if matches(device, bound.devices):
            _judge(problems, bound, configuration, calibration)
    return problems.found


def matches(name: str, patterns: Iterable[str]) -> bool:
    """
    Tell whether a name is one of those meant.

    >>> matches("rtu-7", ["m-*", "rtu-?"]), matches("rtu-7", ["m-*", "rtu-*"])
    (False, True)
    """
    return any(fnmatchcase(name, pattern) for pattern in patterns if PATTERN.fullmatch(pattern))


def _judge(problems: Problems, bound: Bound, configuration: Configuration, calibration: Calibration | None) -> None:
    for where, value in _values(bound.setting, configuration, calibration):
        if value is _NOTHING:
            problems.expect(not bound.stated, where, "a setting that is stated, as the policy wants it", "nothing")
            continue
        if bound.allowed is not None:
            listed = any(_is_same(value, one) for one in bound.allowed)
            words = ", ".join(shortened(_json(one), 40) for one in bound.allowed) or "nothing"
            problems.expect(listed, where, f"what the policy allows: {words}", _json(value))
        if bound.minimum is not None or bound.maximum is not None:
            problems.expect(_is_between(bound, value), where, f"what the policy allows: {_range(bound)}", _json(value))


def _values(setting: str, configuration: Configuration, calibration: Calibration | None) -> list[tuple[str, Any]]:
    """List what is stated of a setting, with where; `_NOTHING` wherever it could be and is not."""
    first, _, rest = setting.partition(".")
    if first == CALIBRATION:
        return _constants(rest, configuration, calibration)
    if first == "algorithms":
        if not rest:
            return [(f"algorithms[{index}]", one.algorithm) for index, one in enumerate(configuration.algorithms)]
        name, _, field = rest.partition(".")
        assigned = [pair for pair in enumerate(configuration.algorithms) if pair[1].algorithm == name]
        found = list(chain.from_iterable(_settings(index, one, field) for index, one in assigned))
        return found or [(setting, _NOTHING)]
    found = msgspec.to_builtins(configuration)
    for step in setting.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return [(setting, _NOTHING)]
        found = found[step]
    return [(setting, found)]


def _constants(name: str, configuration: Configuration, calibration: Calibration | None) -> list[tuple[str, Any]]:
    """List what is stated of a constant of the channels; of the calibration itself where none is named."""
    if not name:
        return [(CALIBRATION, None if calibration is None else msgspec.to_builtins(calibration))]
    acquisition = configuration.acquisition
    set_up = acquisition.channels if acquisition is not None else ()
    measured = calibration.channels if calibration is not None else ()
    # Not every constant of a calibration is one of the settings: drifts are not.
    stated = [
        (f"acquisition.channels[{index}].{name}", getattr(one, name, _NOTHING)) for index, one in enumerate(set_up)
    ]
    stated += [(f"{CALIBRATION}.channels[{index}].{name}", getattr(one, name)) for index, one in enumerate(measured)]
    return [pair for pair in stated if pair[1] is not _NOTHING]


def _settings(index: int, assignment: Assignment, field: str) -> Iterable[tuple[str, Any]]:
    where = f"algorithms[{index}]"
    yield f"{where}.settings.{field}", assignment.settings.get(field, _NOTHING)
    if assignment.shadow is not None and assignment.shadow.settings is not None:
        yield f"{where}.shadow.settings.{field}", assignment.shadow.settings.get(field, _NOTHING)


def _is_same(value: Any, other: Any) -> bool:
    """Tell whether two values say the same in JSON, where true is not 1."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return len(value) == len(other) and all(map(_is_same, value, other))
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(_is_same(value[name], other[name]) for name in value)
    return bool(value == other)


def _is_between(bound: Bound, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_between(bound, item) for item in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    least = bound.minimum is None or value >= bound.minimum
    return least and (bound.maximum is None or value <= bound.maximum)


def _range(bound: Bound) -> str:
    if bound.maximum is None:
        return f"{bound.minimum:g} or more"
    return f"at most {bound.maximum:g}" if bound.minimum is None else f"{bound.minimum:g} to {bound.maximum:g}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if not isinstance(value, str) else value


def _is_within(endpoint: str, pattern: str) -> bool:
    try:
        found, allowed = urlsplit(endpoint), urlsplit(pattern)
        ports = allowed.port is None or allowed.port == found.port
    except ValueError:
        return False
    host, wanted = (found.hostname or "").rstrip("."), (allowed.hostname or "").rstrip(".")
    below = wanted.startswith("*.") and host.endswith(wanted[1:]) and len(host) >= len(wanted)
    return bool(host) and (below or wanted in ("*", host)) and ports and found.scheme == allowed.scheme
