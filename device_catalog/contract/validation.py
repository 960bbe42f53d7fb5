"""
Everything wrong with a document, found by both sides with the same rules.

The catalog asks before it keeps a document, the agent before it acts on one. A document is read in three steps: its
length; its shape (`shape`); what it says (`configuration_rules`, `calibration`). What cannot be read does not keep the
rest from being judged, so that one answer names every problem. Nothing is converted in silence. Pure; no numpy.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from algorithms.api.errors import Problem, ProblemsError, shortened
from device_catalog.contract import calibration as calibrations
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Configuration, Desired
from device_catalog.contract.paths import MAXIMUM_DOCUMENT
from device_catalog.contract.register import Registration
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.shape import comply
from device_catalog.contract.signatures import opened
from device_catalog.contract.topics import is_identifier

MAXIMUM_PROBLEMS = 50
"""Problems named in one answer; what is wrong beyond them is found when these are mended."""

Document = TypeVar("Document", bound=msgspec.Struct)


class DocumentError(ProblemsError):
    """A document between catalog and device is refused whole, with every problem found in it."""


def parse_configuration(document: bytes | Mapping[str, Any]) -> Configuration:
    """
    Read what an operator decides about a device.

    Parameters
    ----------
    document : bytes or mapping
        JSON text, or what has been read from JSON or YAML.

    Raises
    ------
    DocumentError
        With every problem found.

    Examples
    --------
    >>> parse_configuration(b'{"poll": {"interval": 10, "lease": 30}}').poll
    Poll(interval=10.0, lease=30.0)
    >>> parse_configuration(b'{"pol": {}, "poll": {"interval": -1}}')
    Traceback (most recent call last):
        ...
    device_catalog.contract.validation.DocumentError: configuration.pol: expected brokers, acquisition, algorithms, \
poll, terminal, topology, recorder, outputs, image or commissioning, found an unknown field; did you mean poll?; \
configuration.poll.interval: expected a number from 0.05 to 86400 [s], found -1.0
    """
    return parse_document(Configuration, document, "configuration", problems_of)


def parse_registration(document: bytes | Mapping[str, Any]) -> Registration:
    """
    Read what an operator says to register a device.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return parse_document(Registration, document, "registration", _of_registration)


def parse_calibration(document: bytes | Mapping[str, Any]) -> Calibration:
    """
    Read what was measured of a device's channels.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    return parse_document(Calibration, document, "calibration", calibrations.problems_of)


def parse_desired(document: bytes | Mapping[str, Any]) -> Desired:
    """
    Read what a catalog says a device should do, with its signatures or without; they are not looked at.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    bare = opened(document)[0] if isinstance(document, bytes) else document
    return parse_document(Desired, bare, "desired", _of_desired)


def _of_registration(registration: Registration, where: str) -> list[Problem]:
    problems = Problems()
    problems.expect(is_identifier(registration.device), f"{where}.device", IDENTIFIER, registration.device)
    problems.expect(is_identifier(registration.tenant), f"{where}.tenant", IDENTIFIER, registration.tenant)
    length = len(registration.description)
    problems.expect(length <= 500, f"{where}.description", "at most 500 characters", f"{length} characters")
    return problems.found + problems_of(registration.configuration, f"{where}.configuration")


def _of_desired(desired: Desired, where: str) -> list[Problem]:
    problems = Problems()
    problems.expect(is_identifier(desired.device), f"{where}.device", IDENTIFIER, desired.device)
    problems.expect(is_identifier(desired.tenant), f"{where}.tenant", IDENTIFIER, desired.tenant)
    problems.expect(desired.revision > 0, f"{where}.revision", "1 or more", desired.revision)
    for index, name in enumerate(desired.recordings):
        problems.expect(is_identifier(name), f"{where}.recordings[{index}]", IDENTIFIER, name)
    for field in ("issued", "expires"):
        moment = getattr(desired, field)
        zoned = moment is None or moment.tzinfo is not None
        problems.expect(zoned, f"{where}.{field}", "a time with its offset from UTC", moment)
    if desired.calibration is not None:
        problems.found += calibrations.problems_of(desired.calibration, f"{where}.calibration", desired.device)
    return problems.found + problems_of(desired.configuration, f"{where}.configuration")


def parse_document(
    document_type: type[Document],
    document: bytes | Mapping[str, Any],
    where: str,
    judge: Callable[[Document, str], list[Problem]],
) -> Document:
    """
    Read a document of a type, and judge it.

    Parameters
    ----------
    document_type : type
    document : bytes or mapping
        JSON text, or what has been read from JSON or YAML.
    where : str
        What the document is called in problems.
    judge : callable
        Finds everything wrong with what a document of the right shape says.

    Raises
    ------
    DocumentError
        With every problem found.
    """
    read, problems = comply(document_type, _fields_of(document, where), where)
    named = [problem.where for problem in problems]
    if read is not None:
        problems.extend(problem for problem in judge(read, where) if not _is_within(problem.where, named))
    if problems or read is None:
        raise DocumentError(problems[:MAXIMUM_PROBLEMS])
    return read


def _is_within(where: str, named: list[str]) -> bool:
    """Tell whether a problem is about a stand-in, or inside one."""
    return any(where == path or where.startswith((f"{path}.", f"{path}[")) for path in named)


def _fields_of(document: bytes | Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if isinstance(document, Mapping):
        return document
    if len(document) > MAXIMUM_DOCUMENT:
        raise DocumentError([Problem(where, f"at most {MAXIMUM_DOCUMENT} bytes", f"{len(document)} bytes")])
    try:
        fields = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise DocumentError([Problem(where, "JSON", shortened(str(error), 200))]) from error
    if not isinstance(fields, dict):
        raise DocumentError([Problem(where, "a JSON object", shortened(fields))])
    return fields
