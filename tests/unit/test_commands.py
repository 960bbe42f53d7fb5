"""Which orders a device obeys."""

import pytest

from agent.commands import read_command
from algorithms.api.errors import WireError
from algorithms.api.records import Command, Request
from algorithms.api.wire import NANOSECONDS, Header, encode

NOW_NS = 1_700_000_000 * NANOSECONDS
HEADER = Header("operator", 1, 1, 1, NOW_NS)


def order(**changes):
    given = {
        "id": "reset-7",
        "recipient": "m-1",
        "verb": "reset-energy",
        "issued_ns": NOW_NS - NANOSECONDS,
        "expires_ns": NOW_NS + 60 * NANOSECONDS,
        "arguments": {},
    }
    return Command(**{**given, **changes})


def read(command, *, retained=False):
    return read_command(encode(command, HEADER), retained=retained, device="m-1", now_ns=NOW_NS)


def test_an_order_to_this_device_is_read():
    assert read(order()) == order()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipient": "m-2"}, "expected a command to m-1, found one to m-2"),
        ({"id": "a b"}, "expected an id"),
        ({"expires_ns": NOW_NS}, "expired at 2023-11-14T22:13:20"),
        ({"issued_ns": NOW_NS + 120 * NANOSECONDS, "expires_ns": NOW_NS + 180 * NANOSECONDS}, "is of the future"),
        ({"expires_ns": NOW_NS + 7200 * NANOSECONDS}, "a life of at most 3600 s"),
        ({"issued_ns": NOW_NS + 60 * NANOSECONDS}, "a life of at most 3600 s, found 0"),
    ],
)
def test_an_order_for_others_too_late_too_early_or_for_ever_is_refused(changes, reason):
    with pytest.raises(WireError, match=reason):
        read(order(**changes))


def test_an_order_that_the_broker_kept_is_refused():
    with pytest.raises(WireError, match="not retained"):
        read(order(), retained=True)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"x" * 20_000, encode(Request("r", "a", "m-1", "s", NOW_NS, NOW_NS + 1), HEADER)]
)
def test_what_is_no_order_is_refused(payload):
    with pytest.raises(WireError):
        read_command(payload, retained=False, device="m-1", now_ns=NOW_NS)
