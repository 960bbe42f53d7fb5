"""
Everything wrong with what a configuration says of versions: packages, probation, shadows.

Whether a package exists is for the signed repository to say, and for the device to judge. Pure; no numpy.
"""

import re

from algorithms.api.errors import shortened
from device_catalog.contract.documents import Assignment, PackageReference
from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier

LONGEST_PROBATION = 30 * 86_400.0
"""[s]"""

VERSION = re.compile(r"\d+\.\d+\.\d+([.-]?[A-Za-z0-9]+)*")
_sha256 = re.compile(r"[0-9a-f]{64}")


def is_version(text: str) -> bool:
    """Tell whether a text is an exact version, such as 1.4.2."""
    return len(text) <= 100 and bool(VERSION.fullmatch(text))


def judge_update(problems: Problems, assignment: Assignment, where: str) -> None:
    """Add what is wrong with an assignment's version, package, probation, rollout and shadow."""
    problems.expect(
        not assignment.version or is_version(assignment.version),
        f"{where}.version",
        "a version such as 1.4.2, or nothing for the one that is there",
        assignment.version,
    )
    problems.number(assignment.probation, f"{where}.probation", 0, LONGEST_PROBATION, above=True)
    is_named = not assignment.rollout or is_identifier(assignment.rollout)
    problems.expect(is_named, f"{where}.rollout", f"{IDENTIFIER}, or nothing", assignment.rollout)
    if assignment.package is not None:
        problems.expect(bool(assignment.version), f"{where}.version", "the version of the package", "none")
        judge_package(problems, assignment.package, f"{where}.package")
    shadow = assignment.shadow
    if shadow is not None:
        expected = "the exact version that is to run beside, such as 1.4.2"
        problems.expect(is_version(shadow.version), f"{where}.shadow.version", expected, shadow.version)
        if shadow.settings is not None:
            problems.free(shadow.settings, f"{where}.shadow.settings")
        if shadow.package is not None:
            judge_package(problems, shadow.package, f"{where}.shadow.package")


def judge_package(problems: Problems, package: PackageReference, where: str) -> None:
    """Add what is wrong with the reference to something signed."""
    problems.expect(1 <= package.release < 2**53, f"{where}.release", "1 or more", package.release)
    within = 1 <= package.length <= MAXIMUM_PACKAGE
    problems.expect(within, f"{where}.length", f"1 to {MAXIMUM_PACKAGE} [bytes]", package.length)
    is_digest = bool(_sha256.fullmatch(package.sha256))
    problems.expect(is_digest, f"{where}.sha256", "64 hexadecimal digits in small letters", shortened(package.sha256))
