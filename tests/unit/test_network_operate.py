"""A person's orders to switches: what may be wished, how long orders live."""

import argparse
import time

import pytest

from algorithms.api.switching import SwitchReport
from device_catalog.contract.network_leases import LeaseGrant
from device_catalog.documents import moment
from device_catalog.operator import network_operate
from device_catalog.operator.errors import OperatorError
from device_catalog.operator.network_operate import Wish
from device_catalog.operator.settings import Trust
from device_catalog.operator.subscriber import parse_endpoint
from device_catalog.operator.switch_line import SwitchLine


def test_a_switch_may_be_locked_under_a_tag_of_ones_own():
    assert network_operate._wish("s-7=locked:work-31") == Wish("s-7", "locked", "work-31")
    assert network_operate._wish("s-7=locked").tag
    assert network_operate._verbs["locked"] == "open"


def test_of_several_locks_one_is_taken_off_by_its_name():
    both = SwitchReport("net", None, "case-1+case-2")
    assert network_operate._lock_to_take_off(Wish("s-7", "unlocked", "case-2"), both) == "case-2"
    with pytest.raises(OperatorError, match="locked under case-1 and case-2: say which"):
        network_operate._lock_to_take_off(Wish("s-7", "unlocked"), both)
    with pytest.raises(OperatorError, match="expected s-7 to be locked under case-9, found it locked under case-1"):
        network_operate._lock_to_take_off(Wish("s-7", "unlocked", "case-9"), both)
    assert network_operate._lock_to_take_off(Wish("s-7", "unlocked"), SwitchReport("net", None, "case-1")) == "case-1"
    assert network_operate._wish("s-7=unlocked:case-2") == Wish("s-7", "unlocked", "case-2")


@pytest.mark.parametrize("text", ["s-7", "s-7=ajar", "s-7=locked:", "s-7=locked:a b", "s-7=open:work-31", "=open"])
def test_what_is_no_wish_is_refused_with_what_was_expected(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected SWITCH=open"):
        network_operate._wish(text)


def test_no_order_is_given_that_would_outlive_the_lease():
    grant = LeaseGrant("net", "operator-1", 1, 65.0, moment(0))
    network_operate._expect_time(grant, Wish("s-7", "open"), time.monotonic(), 60.0)
    with pytest.raises(OperatorError, match="ends before s-7 could answer"):
        network_operate._expect_time(grant, Wish("s-7", "open"), time.monotonic() - 10.0, 60.0)


def test_the_last_order_is_outlived_before_the_network_is_given_back():
    line = SwitchLine(parse_endpoint("mqtt://127.0.0.1:1883"), Trust(), "default", ["s-7"])
    line.until = time.monotonic() + 0.2
    line.outlive()
    assert time.monotonic() >= line.until
