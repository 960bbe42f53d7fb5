"""A person's orders to switches: what may be wished, how long orders live."""

import argparse
import time

import pytest

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
