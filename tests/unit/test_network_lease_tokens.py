"""Tokens of leases in the database: each larger than all before, also than those a lost database gave out."""

from sqlalchemy import create_engine

from device_catalog.storage.network_leases import NetworkLeaseStore
from device_catalog.storage.tables import metadata

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


def store():
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    return NetworkLeaseStore(engine)


def grant(leases, now_ns, holder="control-1"):
    row, granted = leases.grant("net", holder, now_ns, now_ns + SECOND)
    assert granted
    return row.token


def test_each_token_is_larger_also_within_one_second_and_where_the_clock_is_set_back():
    leases = store()
    tokens = [grant(leases, NOW + later) for later in (0, 1, 2, -3600 * SECOND)]
    assert tokens == sorted(set(tokens))


def test_a_database_put_back_from_a_backup_gives_no_token_again():
    lost, restored = store(), store()
    for leases in (lost, restored):
        grant(leases, NOW)
    seen = [grant(lost, NOW + number * 2 * SECOND) for number in range(1, 6)]
    assert grant(restored, NOW + 60 * SECOND, "control-2") > max(seen)
