"""Laws of rollouts: whatever the fleet looks like, no stage, budget or choice goes beyond what was said."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_catalog.contract.documents import Assignment, Configuration, PackageReference
from device_catalog.contract.reports import ShadowReport
from device_catalog.contract.rollouts import Budget, ShadowTest
from device_catalog.operator.rollout_request import seconds_of
from device_catalog.rollouts.comparison import total
from device_catalog.rollouts.overlay import Choice, Chosen, overlaid
from device_catalog.rollouts.plan import Member, in_order, pick, wanted

PACKAGE = PackageReference(2, 10, 64 * "a")

members = st.lists(
    st.builds(
        Member, st.text("abcdef", min_size=1, max_size=6), st.sampled_from("xy"), st.sampled_from(["", "1", "2"])
    ),
    unique_by=lambda member: member.device,
    max_size=40,
)


@given(st.floats(0.01, 100), st.integers(1, 10_000))
def test_a_stage_is_never_for_more_than_its_share_but_for_one_at_least(percent, count):
    number = wanted(percent, count)
    assert 1 <= number <= count
    assert number == 1 or number <= percent * count / 100 + 1e-6


@given(members, st.sampled_from([0, 1, 3, "50%"]), st.sampled_from([0, 2, "10%"]), st.integers(0, 50))
def test_whoever_is_picked_keeps_every_budget_and_the_order(everybody, per_area, per_network, count):
    ordered = in_order("r-1", everybody)
    half = len(ordered) // 2
    sizes = Counter((member.network, member.area) for member in everybody if member.area)
    sizes.update((member.network, "") for member in everybody)
    changing, candidates = ordered[:half], ordered[half:]
    picked = pick(candidates, count, Budget(per_area, per_network), changing, sizes)
    assert len(picked) <= count
    assert picked == [member for member in candidates if member in picked]

    def most(amount, size):
        return (
            len(everybody) if amount == 0 else max(1, size * int(amount[:-1]) // 100) if "%" in str(amount) else amount
        )

    before = Counter((member.network, member.area) for member in changing)
    after = before + Counter((member.network, member.area) for member in picked)
    for (network, area), found in after.items():
        if area:
            assert found <= max(before[network, area], most(per_area, sizes[network, area]))
    for network in "xy":
        was = sum(member.network == network for member in changing)
        found = was + sum(member.network == network for member in picked)
        assert found <= max(was, most(per_network, sizes[network, ""]))


@given(members, members)
def test_who_joins_moves_nobody_in_the_order(here, newcomers):
    known = {member.device for member in here}
    both = in_order("r-1", [*here, *(member for member in newcomers if member.device not in known)])
    assert [member for member in both if member.device in known] == in_order("r-1", here)


versions = st.sampled_from(["", "1.0.0", "2.0.0"])


@given(st.lists(st.tuples(st.sampled_from("abc"), versions), unique_by=lambda item: item[0]), versions, st.booleans())
def test_a_choice_counts_as_long_as_the_configuration_names_what_it_was_made_for(configured, base, add):
    configuration = Configuration(algorithms=tuple(Assignment(name, {"k": 1}, version) for name, version in configured))
    choice = Choice(7, base, Chosen("r-7", "9.9.9", PACKAGE, add, {"new": 2}))
    result = {item.algorithm: item for item in overlaid(configuration, {"a": choice}).algorithms}
    before = {item.algorithm: item for item in configuration.algorithms}
    for name in "bc":
        assert result.get(name) == before.get(name)
    if "a" in before and before["a"].version == base:
        assert (result["a"].version, result["a"].rollout, result["a"].settings) == ("9.9.9", "r-7", {"k": 1})
    elif "a" in before:
        assert result["a"] == before["a"]
    else:
        assert ("a" in result) == (add and base == "")


def test_small_differences_count_as_none_where_a_limit_is_stated_for_them():
    reports = [("m-1", ShadowReport("2", "running", compared=500, differing=400, largest=1e-7))]
    assert total(reports, ShadowTest()).verdict == "different"
    assert total(reports, ShadowTest(largest=1e-6)).verdict == "equal"
    found = total(reports, ShadowTest(largest=1e-9))
    assert found.verdict == "different"
    assert "the largest difference is 1e-07" in found.reasons[1]


def test_too_few_records_leave_the_verdict_open():
    found = total([("m-1", ShadowReport("2", "running", compared=5))], ShadowTest())
    assert (found.verdict, found.reasons) == ("open", ("5 records were compared, at least 100 are wanted",))


@pytest.mark.parametrize(
    "loud",
    [
        ShadowReport("2", "running", compared=10**9),
        ShadowReport("2", "running", compared=10**40),
        ShadowReport("2", "running", compared=1000, differing=-5000, missing=-3, restarts=-9),
    ],
)
def test_one_device_does_not_outweigh_what_all_the_others_say(loud):
    honest = [(f"m-{number}", ShadowReport("2", "running", compared=50, differing=10)) for number in range(9)]
    found = total([*honest, ("m-loud", loud)], ShadowTest(differing=0.05))
    assert found.verdict == "different"
    assert "(0.18 in the mean of the devices)" in found.reasons[0]


def test_a_device_that_compared_much_does_not_make_up_for_those_that_compared_little():
    few = [(f"m-{number}", ShadowReport("2", "running", compared=1)) for number in range(9)]
    found = total([*few, ("m-loud", ShadowReport("2", "running", compared=10**9))], ShadowTest())
    assert found.verdict == "open"
    assert found.reasons == ("29 records were compared, at least 100 are wanted, of one device at most 20 count",)


def test_a_duration_without_unit_is_none():
    assert [seconds_of(text) for text in ("5", "", "h", "1 h", "-1h", "1w")] == [None, None, None, 3600.0, None, None]
