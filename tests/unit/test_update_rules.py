"""What a configuration may say of versions, packages, probation and shadows."""

import msgspec
import pytest

from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import Assignment, Configuration, PackageReference, Shadow

PACKAGE = PackageReference(3, 1000, 64 * "a")
GOOD = Assignment("phasors", version="1.2.0", package=PACKAGE, rollout="r-1", shadow=Shadow("1.3.0-rc.1", PACKAGE, {}))


def problems(**fields):
    assignment = msgspec.structs.replace(GOOD, **fields)
    return [problem.where for problem in problems_of(Configuration(algorithms=(assignment,)), "c")]


def test_what_is_right_is_not_refused():
    assert problems() == []
    assert problems(package=None, version="", shadow=None, rollout="") == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"version": ""}, "version"),
        ({"version": "../../1.0.0"}, "version"),
        ({"probation": 0.0}, "probation"),
        ({"probation": float("nan")}, "probation"),
        ({"rollout": "a/b"}, "rollout"),
        ({"package": PackageReference(0, 1000, 64 * "a")}, "package.release"),
        ({"package": PackageReference(1, 2**40, 64 * "a")}, "package.length"),
        ({"package": PackageReference(1, 1000, "../" + 61 * "a")}, "package.sha256"),
        ({"shadow": Shadow("newest")}, "shadow.version"),
        ({"shadow": Shadow("1.0.0", PackageReference(1, 0, 64 * "a"))}, "shadow.package.length"),
        ({"shadow": Shadow("1.0.0", None, {"x": float("inf")})}, "shadow.settings.x"),
    ],
)
def test_what_is_wrong_is_named(fields, where):
    assert problems(**fields) == [f"c.algorithms[0].{where}"]
