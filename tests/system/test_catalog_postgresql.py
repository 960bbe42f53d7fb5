"""The catalog over a real PostgreSQL: the same answers, and the same memory after a kill -9."""

from collections.abc import Iterator

import pytest

from tests.support.catalog import CatalogProcess
from tests.support.postgresql import PostgreSQL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as running:
        yield running


def test_documents_reports_lists_and_refusals_are_the_same_as_over_sqlite(server):
    with CatalogProcess(options=[f"--database={server.url}"]) as catalog:
        credential = catalog.register("m-1", tenant="north")
        catalog.register("m-2")
        document = {"algorithms": [{"algorithm": "phasors"}], "topology": {"network": "n-1", "area": "a-1"}}
        path = "/v1/devices/m-1/configuration"
        assert catalog.operator("PUT", path, headers={"If-Match": '"1"'}, json=document).status_code == 200
        assert catalog.operator("PUT", path, headers={"If-Match": '"1"'}, json=document).status_code == 412
        assert catalog.operator("POST", "/v1/devices", json={"device": "m-1"}).status_code == 409
        assert catalog.operator("PATCH", "/v1/devices/m-1/reported", json={"boot": 5}).status_code == 204
        poll = catalog.poll("m-1", credential, '"1"', **{"Agent-Boot": "5", "Agent-Applied-Revision": "2"})
        assert poll.json()["configuration"]["topology"]["area"] == "a-1"

        catalog.kill()
        catalog.start()
        assert catalog.poll("m-1", credential, poll.headers["ETag"]).status_code == 304
        query = {"algorithm": "phasors", "network": "n-1", "tenant": "north", "available": "true"}
        page = catalog.operator("GET", "/v1/devices", params=query).json()
        assert [item["device"] for item in page["items"]] == ["m-1"]
        assert catalog.operator("GET", "/v1/devices/m-1").json()["reported"]["boot"] == 5

        catalog.stop()
        catalog.start()
        summary = catalog.operator("GET", "/v1/devices/m-1").json()["summary"]
        assert summary["last_seen"] is not None
        assert catalog.operator("DELETE", "/v1/devices/m-2").status_code == 204


def test_the_state_of_a_database_made_by_a_newer_program_is_left_as_it_is(server):
    with CatalogProcess(options=[f"--database={server.url}"]) as catalog:
        catalog.stop()
        server.query("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(AssertionError, match="made by a newer tresma"):
            catalog.start()
        assert server.query("SELECT version_num FROM alembic_version") == "9999"
