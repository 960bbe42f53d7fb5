"""A change and the note of who made it are one transaction: a cut between them loses neither alone."""

import asyncio
import contextlib

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from device_catalog.access.audit import Audit
from device_catalog.api.callers import VISIT, Visit
from device_catalog.api.gateway import Gateway
from device_catalog.errors import StorageError
from device_catalog.storage.audit_trail import AuditTrail, problems_of
from device_catalog.storage.database import migrate, open_engine
from device_catalog.storage.tables import acts_begun, tenants
from device_catalog.storage.threads import StorageThreads

MINUTES_LATER = 10 * 60 * 10**9


class Reception:
    """Everybody is anna."""

    def visit(self, _scope):
        return Visit("192.0.2.1", None, "", b"", b"")


class Generous:
    def wait(self, _who, _now):
        return 0.0


class Catalog:
    """A gateway over a database, with a room behind it that writes a tenant and answers."""

    def __init__(self, folder):
        self.engine = open_engine(f"sqlite:///{folder / 'catalog.db'}")
        migrate(self.engine)
        self.trail = AuditTrail(self.engine)
        self.threads = StorageThreads()
        self.audit = Audit(self.trail, self.threads)
        self.answered = 200
        limits = (Generous(), Generous(), Generous())
        self.gateway = Gateway(None, None, Reception(), self.audit, limits, lambda: None, self.room)

    async def room(self, scope, receive, send):
        await receive()
        scope[VISIT].actor, scope[VISIT].role = "anna", "engineer"
        try:
            await self.threads.write(self.write, scope["path"].rpartition("/")[2])
            status = self.answered
        except StorageError:
            status = 503
        await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"2"')]})
        await send({"type": "http.response.body", "body": b""})

    def write(self, name):
        with self.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(insert(tenants).values(tenant=name, created_ns=1))

    def put(self, name):
        """Ask as anna does; return the status that she sees."""
        answers = []

        async def receive():
            return {"type": "http.request", "body": b"text"}

        async def send(message):
            answers.append(message)

        scope = {"type": "http", "method": "PUT", "path": f"/v1/tenants/{name}", "headers": []}
        asyncio.run(self.gateway(scope, receive, send))
        return answers[0]["status"]

    def changed(self):
        with self.engine.connect() as connection:
            return list(connection.scalars(select(tenants.c.tenant).order_by(tenants.c.tenant)))

    def begun(self):
        with self.engine.connect() as connection:
            return len(list(connection.execute(select(acts_begun.c.name))))

    def noted(self):
        entries = self.trail.after(0, 100)
        assert problems_of(entries) == []
        return [(entry.act.actor, entry.act.path, entry.act.status) for entry in entries]

    def close(self):
        self.threads.close()
        self.engine.dispose()


@pytest.fixture
def catalog(tmp_path):
    catalog = Catalog(tmp_path)
    yield catalog
    catalog.close()


def failing_commits(engine, count=1):
    """Have commits fail, as a disk that is full or a power cut does."""
    left = [count]

    def fail(_connection):
        if left[0]:
            left[0] -= 1
            raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(engine, "commit", fail)


def test_a_change_is_noted_once_with_what_it_was_answered(catalog):
    assert catalog.put("north") == 200
    assert (catalog.changed(), catalog.begun()) == (["north"], 0)
    assert catalog.noted() == [("anna", "/v1/tenants/north", 200)]
    (entry,) = catalog.trail.after(0, 10)
    assert (entry.act.after, len(entry.act.body)) == ('"2"', 64)


def test_where_the_commit_fails_neither_the_change_nor_its_note_is_there(catalog):
    failing_commits(catalog.engine)
    assert catalog.put("north") == 503
    assert (catalog.changed(), catalog.begun(), catalog.noted()) == ([], 0, [])
    assert catalog.put("south") == 200
    assert catalog.noted() == [("anna", "/v1/tenants/south", 200)]


def test_a_cut_between_the_change_and_its_entry_leaves_the_note_that_becomes_the_entry(catalog):
    append, catalog.trail.append = catalog.trail.append, cut
    with pytest.raises(PowerCutError):
        catalog.put("north")
    catalog.trail.append = append
    assert (catalog.changed(), catalog.begun(), catalog.noted()) == (["north"], 1, [])
    again = AuditTrail(catalog.engine)
    assert again.settle(0) == 0, "it may be under way in another catalog"
    assert again.settle(2**62) == 1
    assert (catalog.begun(), catalog.noted()) == (0, [("anna", "/v1/tenants/north", 0)])
    assert again.settle(2**62) == 0


def test_what_was_changed_though_it_was_answered_as_failed_is_noted_as_that(catalog):
    catalog.answered = 500
    assert catalog.put("north") == 500
    assert (catalog.changed(), catalog.begun()) == (["north"], 0)
    assert catalog.noted() == [("anna", "/v1/tenants/north", 500)]


def test_whoever_looks_at_the_trail_sees_what_a_cut_left(catalog, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(catalog.trail, "append", cut)
        with pytest.raises(PowerCutError):
            catalog.put("north")
    monkeypatch.setattr("device_catalog.access.audit.UNDER_WAY_NS", -MINUTES_LATER)
    page = asyncio.run(catalog.audit.page(type("Everybody", (), {"tenant": ""}), "", 0, 10))
    assert [(item.actor, item.status) for item in page.items] == [("anna", 0)]


class PowerCutError(BaseException):
    """Nothing of the program runs behind it."""


def cut(*_):
    raise PowerCutError


@pytest.fixture
def stubborn(catalog):
    """A room whose change is refused by the database itself when it is committed, once, and is then tried again."""
    with catalog.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE known (x INTEGER PRIMARY KEY)")
        connection.exec_driver_sql("CREATE TABLE late (x INTEGER REFERENCES known DEFERRABLE INITIALLY DEFERRED)")
    refusals = []

    def write(name):
        with catalog.engine.connect().execution_options(writes=True) as connection:
            try:
                with connection.begin():
                    connection.execute(insert(tenants).values(tenant=name, created_ns=1))
                    connection.exec_driver_sql("INSERT INTO late VALUES (7)")
            except IntegrityError as error:
                refusals.append(error)
        assert (catalog.changed(), catalog.begun()) == ([], 0)
        with catalog.engine.connect().execution_options(writes=True) as connection:
            for part in (name, f"{name}-2"):
                with connection.begin():
                    connection.execute(insert(tenants).values(tenant=part, created_ns=1))
            with contextlib.suppress(ValueError), connection.begin():
                connection.execute(insert(tenants).values(tenant="never", created_ns=1))
                raise ValueError

    catalog.write = write
    return catalog, refusals


def test_a_change_that_was_rolled_back_leaves_no_note_and_carries_it_when_it_is_tried_again(stubborn):
    catalog, refusals = stubborn
    append, catalog.trail.append = catalog.trail.append, cut
    with pytest.raises(PowerCutError):
        catalog.put("north")
    catalog.trail.append = append
    assert len(refusals) == 1
    assert (catalog.changed(), catalog.begun()) == (["north", "north-2"], 1)
    assert AuditTrail(catalog.engine).settle(2**62) == 1
    assert catalog.noted() == [("anna", "/v1/tenants/north", 0)]


def test_what_was_tried_again_has_one_entry(stubborn):
    catalog, _ = stubborn
    assert catalog.put("north") == 200
    assert (catalog.begun(), catalog.noted()) == (0, [("anna", "/v1/tenants/north", 200)])
