"""Another version of an algorithm proves itself beside the one in force, or goes."""

import asyncio

import pytest

from agent.errors import AlgorithmRefused, TrustError, WorkerError
from agent.updates.fetch_messages import FetchAnswer
from agent.updates.updates import STARTS
from algorithms.api.errors import Problem
from device_catalog.contract.documents import Assignment, Poll
from tests.support.quick_loop import run_quickly, until
from tests.support.updates import PACKAGES, Meter, assignment, in_force

REFUSAL = AlgorithmRefused([Problem("settings.window", "3, 4 or 10", "5")])


@pytest.fixture
def meter(tmp_path):
    return Meter(tmp_path)


def test_the_new_version_is_told_once_it_is_abreast_and_the_old_one_goes_after_the_probation(meter):
    async def go():
        await in_force(meter)
        meter.process("1.0.0").state = b"counted 5"
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        new = meter.process("1.1.0")
        assert new.what[0].restored == b"counted 5"
        meter.tell("1.0.0", 1, 2)
        meter.tell("1.1.0", 1)
        assert meter.told() == [1, 2]
        meter.tell("1.1.0", 2)  # abreast now
        meter.tell("1.0.0", 3)
        meter.tell("1.1.0", 3)
        assert meter.told() == [1, 2, 3]
        assert meter.processes() == ["1.0.0", "1.1.0"]
        await meter.reach("active")
        assert meter.processes() == ["1.1.0"]
        assert meter.report().version == "1.1.0"
        meter.tell("1.1.0", 4)
        assert meter.told() == [1, 2, 3, 4]
        await meter.close()

    run_quickly(go())


def test_one_that_ends_on_probation_is_succeeded_by_the_old_one_which_tells_what_it_did_not(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        for number in range(1, 6):
            meter.tell("1.0.0", number)
            meter.tell("1.1.0", number)
        meter.tell("1.0.0", 6, 7)
        assert meter.told() == [1, 2, 3, 4, 5]
        meter.process("1.1.0").calls["on_checkpoint"](b"the new one's")
        meter.process("1.0.0").calls["on_checkpoint"](b"the old one's")
        meter.process("1.1.0").die()
        assert meter.told() == [1, 2, 3, 4, 5, 6, 7]
        await meter.reach("failed")
        assert meter.processes() == ["1.0.0"]
        assert "without a word" in meter.report().update.reason
        assert meter.running._store.checkpoint(meter.journal.state_name("count")) == b"the old one's"
        asked = len(meter.asked)
        await meter.apply(assignment("1.1.0"), poll=Poll(interval=7.0))  # never tried again
        await asyncio.sleep(10_000)
        assert meter.processes() == ["1.0.0"]
        assert meter.poll == Poll(interval=7.0)
        assert len(meter.asked) == asked
        await meter.apply(assignment("1.2.0"))
        await meter.reach("active")
        await meter.close()

    run_quickly(go())


def test_a_silent_one_never_comes_to_be_told(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        for number in range(200):
            meter.tell("1.0.0", number)
            await asyncio.sleep(0.1)
        await meter.reach("failed")
        assert meter.told() == list(range(200))
        assert "it made 0 records of result of count/1 of t-1" in meter.report().update.reason
        await meter.close()

    run_quickly(go())


@pytest.mark.parametrize("fault", [WorkerError("MemoryError"), REFUSAL, OSError(12, "no memory")])
def test_one_that_does_not_start_leaves_the_old_one_and_everything_else_untouched(meter, fault):
    async def go():
        await in_force(meter)
        meter.workers.faults["count 1.1.0"] = [fault]
        await meter.apply(assignment("1.1.0"), Assignment("mean"))
        await meter.reach("failed")
        assert meter.report().update.reason.startswith("starting: ")
        assert meter.processes() == ["1.0.0", "1.0.0"]
        assert meter.report("mean").state == "running"
        meter.tell("1.0.0", 1)
        assert meter.told() == [1]
        await meter.close()

    run_quickly(go())


def test_refused_settings_are_tried_again_once_they_are_others(meter):
    async def go():
        await in_force(meter)
        meter.workers.faults["count 1.1.0"] = [REFUSAL]
        await meter.apply(assignment("1.1.0", settings={"window": 5}))
        await meter.reach("failed")
        await meter.apply(assignment("1.1.0", settings={"window": 4}))
        await meter.reach("active")
        assert meter.processes() == ["1.1.0"]
        await meter.close()

    run_quickly(go())


def test_one_that_cannot_read_the_state_before_is_not_taken(meter):
    async def go():
        await in_force(meter)

        def forgetful(process):
            process.note = "started without its checkpoint: not mine"

        meter.workers.faults["count 1.1.0"] = [forgetful]
        await meter.apply(assignment("1.1.0"))
        await meter.reach("failed")
        assert "cannot go on from the state of the version before" in meter.report().update.reason
        assert meter.processes() == ["1.0.0"]
        await meter.close()

    run_quickly(go())


def test_a_first_version_that_fails_is_told_and_everything_else_runs(meter):
    async def go():
        meter.workers.faults["count 1.0.0"] = [WorkerError("no")]
        await meter.apply(Assignment("mean"), assignment("1.0.0"))
        await meter.reach("failed")
        assert (meter.report().state, meter.report().version) == ("quarantined", "")
        assert meter.report("mean").state == "running"
        await meter.apply(Assignment("mean"))
        assert set(meter.updates.reports(meter.running.algorithm_reports())) == {"mean"}
        await meter.close()

    run_quickly(go())


def test_what_fails_for_both_versions_at_once_is_blamed_on_neither(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        old, new = meter.process("1.0.0"), meter.process("1.1.0")
        old.die()
        new.die()
        await until(lambda: "begins anew" in meter.report().update.reason)
        await meter.reach("active")
        assert meter.processes() == ["1.1.0"]
        await meter.close()

    run_quickly(go())


def test_new_settings_of_others_are_applied_while_a_download_waits_for_the_network(meter):
    async def go():
        await in_force(meter)
        away = FetchAnswer("expected a repository that can be reached, found: refused", passing=True)
        meter.refusals["1.1.0"] = [away] * 5
        await meter.apply(assignment("1.1.0"), Assignment("mean"))
        await until(lambda: len(meter.asked) > 3)
        assert (meter.report().update.step, meter.report().update.reason) == ("downloading", away.refusal)
        await meter.apply(assignment("1.1.0"), Assignment("mean", settings={"n": 2}))
        assert meter.workers.last("mean").what[0].settings == {"n": 2}
        await meter.reach("active")
        await meter.close()

    run_quickly(go())


def test_what_is_refused_is_fetched_once(meter):
    async def go():
        await in_force(meter)
        meter.refusals["1.1.0"] = [FetchAnswer("expected metadata signed by enough of its keys")] * 9
        await meter.apply(assignment("1.1.0"))
        await meter.reach("failed")
        await meter.apply(assignment("1.1.0"), Assignment("mean"))
        await asyncio.sleep(10_000)
        assert meter.asked.count("1.1.0") == 1
        assert meter.report().update.reason == "expected metadata signed by enough of its keys"
        await meter.close()

    run_quickly(go())


def test_what_the_catalog_and_the_signers_do_not_agree_on_is_refused_in_one_sentence(meter):
    async def go():
        await in_force(meter)
        package, _ = PACKAGES["1.1.0"]
        meter.refusals["1.1.0"] = [FetchAnswer(release=3, length=package.length, sha256=64 * "b")]
        await meter.apply(assignment("1.1.0"))
        await meter.reach("failed")
        signed = f"found signed release 3, SHA-256 {16 * 'b'}"
        chosen = f"(release 2, SHA-256 {package.sha256[:16]})"
        assert meter.report().update.reason == f"expected of count 1.1.0 what the catalog chose {chosen}, {signed}"
        assert meter.processes() == ["1.0.0"]
        await meter.close()

    run_quickly(go())


def test_a_document_that_goes_back_during_a_probation_ends_it_without_a_verdict(meter):
    async def go():
        await in_force(meter)
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        await meter.apply(assignment("1.0.0"))
        assert meter.processes() == ["1.0.0"]
        assert meter.report().update.step == "active"
        await meter.apply(assignment("1.1.0"))
        await meter.reach("active", "1.1.0")
        await meter.apply(assignment("1.0.0"))  # the last good one, from the card
        await meter.reach("active", "1.0.0")
        assert meter.asked == ["1.0.0", "1.1.0", "1.1.0"]
        await meter.close()

    run_quickly(go())


def test_the_way_back_need_only_run_whatever_the_bad_one_made(meter):
    async def go():
        await in_force(meter)
        await in_force(meter, "1.1.0")

        def forgetful(process):
            process.note = "started without its checkpoint: not mine"

        meter.workers.faults["count 1.0.0"] = [forgetful]
        await meter.apply(assignment("1.0.0"))
        await meter.reach("probation")
        for number in range(300):
            meter.tell("1.1.0", number)
            await asyncio.sleep(0.1)
        await meter.reach("active", "1.0.0")
        assert meter.processes() == ["1.0.0"]
        assert "not mine" in meter.report().last_error
        await meter.close()

    run_quickly(go())


def test_the_version_that_came_with_the_agent_comes_back_when_no_package_is_asked_for(meter):
    async def go():
        meter.workers.versions["count"] = "0.9.0"
        await meter.apply(Assignment("count"))
        assert meter.report().update is None
        await in_force(meter)
        assert meter.processes() == ["1.0.0"]
        await meter.apply(Assignment("count"))
        await until(lambda: meter.processes() == ["0.9.0"])
        await meter.close()

    run_quickly(go())


def test_a_version_whose_probation_never_comes_to_an_end_is_given_up(tmp_path):
    def once(*, known):
        async def go():
            meter = Meter(tmp_path)
            await meter.apply(assignment("1.1.0"), known=known)
            await until(lambda: meter.report().update.step in ("probation", "failed"))
            found = meter.report().update
            await meter.close()
            return found

        return run_quickly(go())

    async def before():
        meter = Meter(tmp_path)
        await in_force(meter)
        await meter.apply(assignment("1.1.0"))
        await meter.reach("probation")
        await meter.close()

    run_quickly(before())
    steps = [once(known=True).step for _ in range(STARTS)]
    assert steps == ["probation"] * (STARTS - 1) + ["failed"]


def test_the_error_of_a_fetch_says_whether_it_may_pass():
    assert TrustError("x", passing=True).passing
    assert not TrustError("x").passing
