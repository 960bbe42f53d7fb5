"""Leases in the database: tokens larger than all that switches can have obeyed, networks taken away, wrong clocks."""

import pytest
from sqlalchemy import create_engine

from algorithms.api.switching import OBEYED_AHEAD
from device_catalog.contract.network_leases import AFTERWARDS, LONGEST
from device_catalog.storage.network_leases import NetworkLeaseStore
from device_catalog.storage.tables import metadata

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


@pytest.fixture
def store():
    """What makes a store in a database of its own, in memory, gone with the test."""
    engines = []

    def made():
        engines.append(engine := create_engine("sqlite://"))
        metadata.create_all(engine)
        return NetworkLeaseStore(engine)

    yield made
    for engine in engines:
        engine.dispose()


def grant(leases, now_ns, holder="control-1"):
    row, granted = leases.grant("net", holder, now_ns, now_ns + SECOND)
    assert granted
    return row.token


def test_each_token_is_larger_also_within_one_second_and_where_the_clock_is_set_back(store):
    leases = store()
    tokens = [grant(leases, NOW + later) for later in (0, 1, 2, -3600 * SECOND)]
    assert tokens == sorted(set(tokens))


def test_a_database_put_back_from_a_backup_gives_no_token_again(store):
    lost, restored = store(), store()
    for leases in (lost, restored):
        grant(leases, NOW)
    seen = [grant(lost, NOW + number * 2 * SECOND) for number in range(1, 6)]
    assert grant(restored, NOW + 60 * SECOND, "control-2") > max(seen)


def test_a_token_is_larger_than_what_its_holder_has_heard_switches_obey(store):
    leases = store()
    heard = NOW // SECOND + 500
    row, _ = leases.grant("net", "control-1", NOW, NOW + SECOND, heard)
    assert row.token == heard + 1


def test_a_token_that_was_forged_at_a_switch_raises_none(store):
    leases = store()
    grant(leases, NOW)
    row, _ = leases.grant("net", "control-1", NOW + SECOND, NOW + 2 * SECOND, 2**61)
    assert row.token == NOW // SECOND + 1


def test_however_often_a_token_is_forged_what_is_granted_is_still_obeyed(store):
    leases = store()
    latest = NOW // SECOND + OBEYED_AHEAD
    for _ in range(50):
        row, _ = leases.grant("net", "control-1", NOW, NOW + SECOND, latest // 2 + NOW // SECOND // 2 - 1)
    assert row.token <= latest


def test_tokens_of_a_clock_that_was_years_ahead_are_left_behind_once_a_holder_says_what_switches_obey(store):
    leases = store()
    ahead = grant(leases, NOW + 10 * 365 * 86_400 * SECOND)
    later = NOW + 400 * SECOND
    heard = NOW // SECOND + 7
    asked = [leases.grant("net", "control-1", later, later + SECOND, seen)[0].token for seen in (0, heard)]
    assert asked[0] == ahead + 1  # nobody knows better
    assert asked[1] == max(heard + 1, later // SECOND)


def test_a_lease_of_a_clock_that_was_ahead_ends_when_the_longest_would(store):
    leases = store()
    leases.grant("net", "control-1", NOW + 10**9 * SECOND, NOW + 10**9 * SECOND + 60 * SECOND)
    assert not leases.grant("net", "control-2", NOW, NOW + SECOND)[1]
    wait = round(LONGEST + AFTERWARDS) * SECOND
    assert not leases.grant("net", "control-2", NOW + wait - SECOND, NOW + wait)[1]
    assert leases.grant("net", "control-2", NOW + wait, NOW + wait + SECOND)[1]


def test_a_network_that_is_taken_away_is_nobodys_until_nothing_ordered_before_can_move(store):
    leases = store()
    old, _ = leases.grant("net", "control-1", NOW, NOW + 60 * SECOND)
    leases.take_away("net", NOW + SECOND)
    leases.take_away("net", NOW + 50 * SECOND)  # saying it twice holds it no longer
    kept = leases.find("net")
    assert kept.token > old.token
    assert kept.holder not in ("control-1", "control-2")
    free = NOW + 60 * SECOND + round(AFTERWARDS) * SECOND
    for holder in ("control-1", "control-2"):
        assert not leases.grant("net", holder, free - SECOND, free)[1]
    assert leases.move_end("net", "control-1", old.token, NOW + SECOND, free) == kept
    assert leases.grant("net", "control-2", free, free + SECOND)[1]


def test_a_network_that_nobody_holds_is_not_held_after_it_was_taken_away(store):
    leases = store()
    leases.take_away("net", NOW)
    grant(leases, NOW)
    leases.take_away("net", NOW + 2 * SECOND)
    assert leases.grant("net", "control-2", NOW + 2 * SECOND, NOW + 3 * SECOND)[1]
