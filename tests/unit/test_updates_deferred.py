"""An update waits while a fault is being handled here, says so, and does not wait for ever."""

import asyncio

import pytest

from agent.fault_watch import AFTERWARDS, LONGEST
from agent.updates.updates import LONGEST_DEFERRAL
from algorithms.api.records import Event, Kind, Severity
from device_catalog.contract.documents import Assignment
from tests.support.quick_loop import run_quickly
from tests.support.updates import Meter, assignment, in_force


@pytest.fixture
def meter(tmp_path):
    meter = Meter(tmp_path)
    meter.workers.kinds["detect"] = ((Kind.FRAME,), (Kind.EVENT,))
    return meter


def fault(start_ns=1, *, over=False, severity=Severity.CRITICAL):
    return Event("fault", "t-1", start_ns, start_ns + 1 if over else None, severity)


def cries(meter, *events):
    meter.workers.last("detect").calls["on_records"](list(events))


def now():
    return asyncio.get_running_loop().time()


def test_an_update_waits_until_a_fault_is_over_and_the_report_says_so(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.0.0"), Assignment("detect"))
        cries(meter, fault())
        await meter.apply(assignment("1.1.0"), Assignment("detect"))
        await meter.reach("deferred")
        assert meter.report().update.reason == "fault at t-1 is being handled; it is begun afterwards"
        assert meter.report().update.version == "1.1.0"
        await asyncio.sleep(100.0)
        assert meter.processes() == ["1.0.0", "1.0.0"]
        cries(meter, fault(over=True))
        over = now()
        await meter.reach("probation")
        assert AFTERWARDS <= now() - over < AFTERWARDS + 10.0
        await meter.reach("active")
        await meter.close()

    run_quickly(go())


def test_a_fault_without_end_and_one_who_cries_for_ever_keep_no_version_away(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.0.0"), Assignment("detect"))
        cries(meter, fault())
        began = now()
        await meter.apply(assignment("1.1.0"), Assignment("detect"))
        await meter.reach("probation")
        assert LONGEST <= now() - began < LONGEST + 10.0
        await meter.reach("active")

        async def for_ever():
            for number in range(10_000):
                cries(meter, fault(number + 2))
                await asyncio.sleep(1.0)

        crying = asyncio.create_task(for_ever())
        began = now()
        await meter.apply(assignment("1.2.0"), Assignment("detect"))
        await meter.reach("probation", "1.2.0")
        assert LONGEST_DEFERRAL <= now() - began < LONGEST_DEFERRAL + 20.0
        crying.cancel()
        await meter.close()

    run_quickly(go())


def test_what_is_not_critical_and_a_first_version_wait_for_nothing(meter):
    async def go():
        await meter.apply(Assignment("detect"))
        cries(meter, fault(severity=Severity.WARNING))
        await in_force(meter)
        cries(meter, fault())
        await meter.apply(assignment("1.0.0"), Assignment("detect"), assignment("1.0.0", name="mean"))
        assert meter.report("mean").update.step != "deferred"
        await meter.close()

    run_quickly(go())
