"""The audit trail: whatever is changed in it or taken out of it shows."""

import pytest
from sqlalchemy import text

from device_catalog.storage.audit_trail import Act, AuditTrail, problems_of
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.tables import audit_trail

COUNT = 6


@pytest.fixture
def trail(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'catalog.db'}")
    migrate(engine)
    trail = AuditTrail(engine)
    for number in range(COUNT):
        trail.append(act(number))
    yield trail, engine
    engine.dispose()


def act(number):
    return Act(
        1000 + number, f"anna-{number % 2}", "engineer", "", "192.0.2.1", "PUT", "/v1/x", 200, '"1"', '"2"', "ab"
    )


def tampered(engine, statement):
    """Change the table as somebody with the database's file could: without its triggers."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for change in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER audit_trail_no_{change}"))
        connection.execute(statement)


def test_a_trail_that_nobody_touched_has_no_problems(trail):
    entries = trail[0].after(0, 100)
    assert [entry.number for entry in entries] == list(range(1, COUNT + 1))
    assert [entry.act for entry in entries] == [act(number) for number in range(COUNT)]
    assert problems_of(entries) == []


@pytest.mark.parametrize("column", ["actor", "path", "time_ns", "status", "after", "body"])
def test_a_changed_entry_shows(trail, column):
    value = 1 if column in ("time_ns", "status") else "nobody"
    tampered(trail[1], audit_trail.update().where(audit_trail.c.number == 3).values({column: value}))
    assert "entry 3" in problems_of(trail[0].after(0, 100))[0]


@pytest.mark.parametrize("number", [1, 3])
def test_an_entry_that_was_taken_out_shows(trail, number):
    tampered(trail[1], audit_trail.delete().where(audit_trail.c.number == number))
    assert "taken out" in problems_of(trail[0].after(0, 100))[0]


def test_a_trail_that_was_cut_off_at_its_end_no_longer_has_the_digest_that_was_noted(trail):
    noted = trail[0].after(0, 100)[-1].hash
    tampered(trail[1], audit_trail.delete().where(audit_trail.c.number == COUNT))
    entries = trail[0].after(0, 100)
    assert problems_of(entries) == []
    assert noted not in [entry.hash for entry in entries]


def test_pages_go_back_in_time_and_a_tenant_sees_its_own(trail):
    trail[0].append(act(9)._replace(tenant="city"))
    assert [entry.number for entry in trail[0].page(5, 0, "", 2)] == [4, 3]
    assert [entry.act.tenant for entry in trail[0].page(100, 0, "city", 10)] == ["city"]
    assert [entry.act.time_ns for entry in trail[0].page(100, 1004, "", 10)] == [1009, 1005, 1004]
