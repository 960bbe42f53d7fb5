"""A restored database is beyond everything that meters and switches can have seen, and nothing goes on by itself."""

import zlib

import msgspec
import pytest
from sqlalchemy import insert, select

from device_catalog.backup.counters import LEAST, bring_forward
from device_catalog.storage import tables
from device_catalog.storage.audit_trail import AuditTrail, problems_of
from device_catalog.storage.database import migrate, open_engine

HOUR = 3600 * 10**9


@pytest.fixture
def engine(tmp_path):
    made = open_engine(f"sqlite:///{tmp_path}/catalog.db")
    migrate(made)
    with made.begin() as connection:
        connection.execute(insert(tables.tenants).values(tenant="default", created_ns=0))
        about = {
            "tenant": "default",
            "kind": "meter",
            "description": "",
            "interval": 60.0,
            "lease": 195.0,
            "terminal": "",
        }
        about |= {"network": "n-1", "area": "", "algorithms": "", "created_ns": 0, "boot": 0, "available": True}
        for device, revision, applied in (("m-1", 7, 7), ("m-2", 3, 90)):
            row = {"device": device, "revision": revision, "applied_revision": applied, **about}
            connection.execute(insert(tables.devices).values(**row))
            document = msgspec.json.encode({"topology": {"network": "n-1", "topology_revision": 5}}).decode()
            row = {"device": device, "revision": revision, "document": document, "issued_ns": 1, "author": "anna"}
            connection.execute(insert(tables.configurations).values(**row))
        row = {"network": "n-1", "name": "", "revision": 2, "topology_revision": 5, "stored_ns": 0, "author": "anna"}
        connection.execute(insert(tables.networks).values(**row))
        states = zlib.compress(b'{"network":"n-1","revision":5,"open":["s-1"]}')
        row = {"network": "n-1", "revision": 5, "document": states, "size": 1, "stored_ns": 0, "author": "anna"}
        connection.execute(insert(tables.topology_revisions).values(**row))
        for number, state in ((1, "finished"), (2, "running"), (3, "paused")):
            words = dict.fromkeys(("algorithm", "version", "plan", "package", "reason", "comparison"), "")
            zeros = dict.fromkeys(("revision", "stage", "members", "away", "created_ns", "changed_ns"), 0)
            row = {"number": number, "tenant": "default", "state": state, "author": "anna", **words, **zeros}
            connection.execute(insert(tables.rollouts).values(shadowing=False, restoring=False, **row))
    yield made
    made.dispose()


def rows(engine, *columns):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(*columns[:2]))]


def test_revisions_grow_beyond_what_was_applied_and_what_an_hour_of_changes_can_have_made(engine):
    brought = bring_forward(engine, 0, HOUR, "copy of then")
    assert brought.step == LEAST + 36_000
    assert brought.devices == 2
    d, c = tables.devices.c, tables.configurations.c
    assert rows(engine, d.device, d.revision) == [("m-1", 7 + brought.step), ("m-2", 90 + brought.step)]
    assert [one[:2] for one in rows(engine, c.device, c.revision)] == [
        ("m-1", 7),
        ("m-1", 7 + brought.step),
        ("m-2", 3),
        ("m-2", 90 + brought.step),
    ], "what was there before stays"


def test_states_of_switches_grow_with_what_names_them(engine):
    step = bring_forward(engine, HOUR, 0, "of a clock that was ahead").step
    assert step == LEAST
    t, c = tables.topology_revisions.c, tables.configurations.c
    _, (_, newest, document) = rows(engine, t.network, t.revision, t.document)
    assert newest == 5 + step
    assert msgspec.json.decode(zlib.decompress(document)) == {"network": "n-1", "revision": 5 + step, "open": ["s-1"]}
    named = [
        msgspec.json.decode(text)["topology"]["topology_revision"]
        for _, _, text in rows(engine, c.device, c.revision, c.document)
    ]
    assert named == [5, 5 + step, 5, 5 + step]


def test_rollouts_stand_still_and_the_trail_says_what_happened(engine):
    assert bring_forward(engine, 0, HOUR, "copy of then").rollouts == ("r-2",)
    r = tables.rollouts.c
    assert rows(engine, r.number, r.state) == [(1, "finished"), (2, "paused"), (3, "paused")]
    entries = AuditTrail(engine).after(0, 10)
    assert [(entry.act.method, entry.act.path) for entry in entries] == [("RESTORE", "copy of then")]
    assert not problems_of(entries)
