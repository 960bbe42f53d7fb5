"""
What rollouts chose for a device, laid over what its operator configured.

A configuration is never changed by a rollout. A choice stands beside it, and states the version that the configuration
named when the choice was made (`Choice.base`). As long as it still names that one, the choice counts; once a person has
written another version, or taken the algorithm out, that counts and the choice is void: of two, what was said last.
Pure.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from device_catalog.contract.documents import Assignment, Configuration, ImageSetting, PackageReference, Shadow

_replace = msgspec.structs.replace


class Chosen(msgspec.Struct, frozen=True):
    """
    A version that a rollout chose; with `add` also where the configuration has no such algorithm.

    Attributes
    ----------
    rollout, version : str
    package : PackageReference
    add : bool
    settings : dict
        Where it is added.
    probation : float or None
        None for what is configured [s].
    image : bool
        Whether it is an image of root slots.
    """

    rollout: str
    version: str
    package: PackageReference
    add: bool = False
    settings: dict[str, Any] = {}
    probation: float | None = None
    image: bool = False


class Choice(msgspec.Struct, frozen=True):
    """
    What stands beside one algorithm of one device's configuration.

    Attributes
    ----------
    owner : int
        Number of the rollout that wrote this.
    base : str
        The version in the configuration that it was made for; empty where none was named.
    chosen : Chosen or None
        The version in force instead; None where the configuration's own is.
    shadow : Chosen or None
        The version that runs beside the one in force.
    """

    owner: int
    base: str
    chosen: Chosen | None = None
    shadow: Chosen | None = None


def configured(configuration: Configuration, algorithm: str) -> Assignment | None:
    """Find an algorithm among those that a configuration names; an image is looked at as if it were one."""
    image = configuration.image
    if image is not None and image.name == algorithm:
        return Assignment(algorithm, version=image.version, package=image.package, probation=image.probation)
    return next((item for item in configuration.algorithms if item.algorithm == algorithm), None)


def counts(choice: Choice, assignment: Assignment | None) -> bool:
    """Tell whether a choice still counts beside what is configured now."""
    if assignment is None:
        return choice.base == "" and choice.chosen is not None and choice.chosen.add
    return choice.base == assignment.version


def in_force(choice: Choice | None, assignment: Assignment | None) -> tuple[str, PackageReference | None]:
    """Tell which version a device is told to run, and its package; empty where none is named."""
    if choice is not None and choice.chosen is not None and counts(choice, assignment):
        return choice.chosen.version, choice.chosen.package
    return ("", None) if assignment is None else (assignment.version, assignment.package)


def overlaid(configuration: Configuration, choices: Mapping[str, Choice]) -> Configuration:
    """
    Lay choices over a configuration.

    Parameters
    ----------
    configuration : Configuration
    choices : mapping
        By algorithm.
    """
    algorithms = [_overlaid(assignment, choices.get(assignment.algorithm)) for assignment in configuration.algorithms]
    present = {assignment.algorithm for assignment in algorithms}
    for algorithm, choice in choices.items():
        if choice.chosen is not None and choice.chosen.image:
            configuration = _with_image(configuration, algorithm, choice)
        elif algorithm not in present and counts(choice, None) and choice.chosen is not None:
            algorithms.append(_overlaid(Assignment(algorithm, choice.chosen.settings), choice))
    return _replace(configuration, algorithms=tuple(algorithms))


def _with_image(configuration: Configuration, name: str, choice: Choice) -> Configuration:
    """Lay the choice of an image over a configuration."""
    chosen, image = choice.chosen, configuration.image
    if chosen is None or (image is not None and image.name != name):
        return configuration
    if not counts(choice, configured(configuration, name)):
        return configuration
    image = msgspec.convert({**chosen.settings, "name": name}, ImageSetting) if image is None else image
    image = _replace(image, version=chosen.version, package=chosen.package, rollout=chosen.rollout)
    if chosen.probation is not None:
        image = _replace(image, probation=chosen.probation)
    return _replace(configuration, image=image)


def overlaid_text(configuration: bytes, choices: Mapping[str, bytes]) -> bytes:
    """Lay choices over a configuration, all of them JSON text; without choices the text is given back as it is."""
    if not choices:
        return configuration
    read = {algorithm: msgspec.json.decode(choice, type=Choice) for algorithm, choice in choices.items()}
    return msgspec.json.encode(overlaid(msgspec.json.decode(configuration, type=Configuration), read))


def _overlaid(assignment: Assignment, choice: Choice | None) -> Assignment:
    if choice is None or not counts(choice, assignment):
        return assignment
    if choice.chosen is not None:
        chosen = choice.chosen
        assignment = _replace(assignment, version=chosen.version, package=chosen.package, rollout=chosen.rollout)
        if chosen.probation is not None:
            assignment = _replace(assignment, probation=chosen.probation)
    if choice.shadow is not None:
        assignment = _replace(assignment, shadow=Shadow(choice.shadow.version, choice.shadow.package))
    return assignment
