"""A shadow is compared and goes nowhere, keeps nothing, and is dropped before the one in force loses anything."""

import asyncio

import msgspec

from agent.processes.algorithm_messages import AlgorithmStatus
from agent.updates.shadow import STANDING_BACK
from algorithms.api.records import Result
from device_catalog.contract.documents import Shadow
from tests.support.quick_loop import run_quickly, until
from tests.support.updates import Meter, assignment, in_force

BESIDE = Shadow("1.1.0", assignment("1.1.0").package)


def shadowed(**fields):
    return assignment("1.0.0", shadow=msgspec.structs.replace(BESIDE, **fields))


async def running_shadow(meter, **fields):
    await in_force(meter)
    meter.process("1.0.0").state = b"counted 5"
    await meter.apply(shadowed(**fields))
    await until(lambda: meter.report().shadow.state == "running")


def test_what_it_makes_is_compared_and_told_to_nobody_and_its_state_is_not_kept(tmp_path):
    async def go():
        meter = Meter(tmp_path)
        await running_shadow(meter, settings={"window": 10})
        shadow = meter.process("1.1.0")
        spec = shadow.what[0]
        assert (spec.restored, spec.settings, spec.background) == (b"counted 5", {"window": 10}, True)
        for number in range(1, 4):
            meter.tell("1.0.0", number)
            shadow.calls["on_records"]([Result("count/1", "t-1", number * 1000, {"n": number + (number == 3)})])
        shadow.calls["on_checkpoint"](b"the shadow's")
        assert meter.told() == [1, 2, 3]
        report = meter.report().shadow
        assert (report.version, report.compared, report.differing, report.where) == ("1.1.0", 3, 1, "payload.n")
        assert report.largest == 0.25
        await meter.apply(assignment("1.0.0"))
        assert meter.processes() == ["1.0.0"]
        assert meter.report().shadow is None
        kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
        assert b"the shadow's" not in [meter.running._store.checkpoint(name) for name in kept]
        await meter.close()

    run_quickly(go())


def test_one_that_dies_is_started_again_from_the_newest_state_of_the_one_in_force_which_notices_nothing(tmp_path):
    async def go():
        meter = Meter(tmp_path)
        await running_shadow(meter)
        meter.process("1.0.0").calls["on_checkpoint"](b"counted 9")
        meter.process("1.1.0").die()
        await until(lambda: meter.report().shadow.state == "running")
        assert meter.report().shadow.restarts == 1
        assert meter.process("1.1.0").what[0].restored == b"counted 9"
        assert (meter.report().state, meter.report().restarts) == ("running", 0)
        await meter.close()

    run_quickly(go())


def test_it_stands_back_where_the_one_in_force_loses_something(tmp_path):
    async def go():
        meter = Meter(tmp_path)
        await running_shadow(meter)
        await asyncio.sleep(5.0)
        meter.process("1.0.0").calls["on_report"](AlgorithmStatus(lost_samples=640))
        await until(lambda: meter.report().shadow.state == "deferred")
        assert meter.processes() == ["1.0.0"]
        assert "stands back" in meter.report().shadow.last_error
        assert await until(lambda: meter.report().shadow.state == "running") > STANDING_BACK / 2
        await meter.close()

    run_quickly(go())


def test_an_update_comes_before_it_and_it_comes_back_beside_the_new_version(tmp_path):
    async def go():
        meter = Meter(tmp_path)
        await in_force(meter)
        beside = Shadow("1.2.0", assignment("1.2.0").package)
        await meter.apply(assignment("1.1.0", shadow=beside))
        await meter.reach("probation")
        assert meter.processes() == ["1.0.0", "1.1.0"]
        await meter.reach("active", "1.1.0")
        await until(lambda: meter.report().shadow.state == "running")
        assert meter.processes() == ["1.1.0", "1.2.0"]
        await meter.close()

    run_quickly(go())


def test_one_that_cannot_be_fetched_says_so_and_nothing_else_happens(tmp_path):
    async def go():
        meter = Meter(tmp_path)
        await in_force(meter)
        await meter.apply(shadowed(package=msgspec.structs.replace(BESIDE.package, release=9)))
        await until(lambda: meter.report().shadow.state == "failed")
        assert "found signed release 2" in meter.report().shadow.last_error
        assert meter.processes() == ["1.0.0"]
        await meter.close()

    run_quickly(go())
