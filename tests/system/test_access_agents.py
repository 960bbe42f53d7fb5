"""Agents that enrol by themselves, renew in time, and say why they are not let in."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from agent.catalog import CatalogClient
from agent.config import read_config
from agent.errors import ConfigError
from agent.identity import exchange
from agent.identity.files import Identity
from agent.identity.keeper import enrol_if_due, keep
from agent.notify import ServiceManager
from device_catalog.contract.enrolment import Token, digest
from tests.support.catalog import CatalogProcess
from tests.support.enrolment import (
    agent_config,
    enrol,
    invite,
    is_older,
    new_key,
)
from tests.support.trust import Dso
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog() -> Iterator[CatalogProcess]:
    with CatalogProcess(tls=True) as running:
        yield running


def test_an_agent_with_a_token_file_enrols_by_itself_and_a_second_start_asks_nobody(catalog, tmp_path):
    catalog.register("a-itself")
    config = agent_config(catalog, "a-itself", tmp_path)
    enrol_if_due(config, ServiceManager({}))
    made = Identity(config.state_dir)
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert not made.new_key.exists()
    stamp = made.stamp()
    enrol_if_due(msgspec.structs.replace(config, catalog="https://127.0.0.1:1"), ServiceManager({}))
    assert made.stamp() == stamp
    client = CatalogClient(config)
    assert client.poll(1, 0) is not None
    assert client.poll(1, 0) is None, "nothing new"
    client.close()


def test_a_power_cut_between_answer_and_disk_costs_nothing(catalog, tmp_path):
    catalog.register("a-cut")
    config = agent_config(catalog, "a-cut", tmp_path)
    token, made = Token.read((tmp_path / "token").read_text()), Identity(config.state_dir)
    made.path.mkdir(parents=True)  # where the certificate should go there is no room for it
    with pytest.raises(OSError, match=r"."):
        exchange.enrol(token, catalog.url, made)
    key = made.new_key.read_bytes()
    made.path.rmdir()
    facts = exchange.enrol(token, catalog.url, made)
    assert made.key_in_force() == key, "the same key asked again, and was answered"
    assert exchange.enrol(token, catalog.url, made) == facts


def test_a_catalog_that_is_not_the_tokens_is_told_nothing(catalog, tmp_path):
    catalog.register("a-middle")
    config = agent_config(catalog, "a-middle", tmp_path)
    right, made = Token.read((tmp_path / "token").read_text()), Identity(config.state_dir)
    with pytest.raises(exchange.EnrolmentError, match="nothing was told it") as refused:
        exchange.enrol(right._replace(anchors=digest(b"others")), catalog.url, made)
    assert refused.value.final
    with pytest.raises(exchange.EnrolmentError, match="root of trust"):
        exchange.enrol(right._replace(root=digest(b"another root")), catalog.url, made)
    assert not made.path.exists()
    with pytest.raises(exchange.EnrolmentError, match="cannot be reached") as away:
        exchange.enrol(right, "https://127.0.0.1:1", made)
    assert not away.value.final


def test_the_root_of_trust_comes_with_the_certificate_and_is_what_the_token_says(catalog, tmp_path):
    dso = Dso(tmp_path / "trust", datetime.now(UTC))
    root = (dso.folder / "metadata" / "1.root.json").read_bytes()
    shelf = catalog.state / "trust" / "metadata"
    shelf.mkdir(parents=True, exist_ok=True)
    (shelf / "root.json").write_bytes(root)
    catalog.register("a-root")
    config = agent_config(catalog, "a-root", tmp_path)
    token = Token.read((tmp_path / "token").read_text())
    assert token.root == digest(root)
    (tmp_path / "token").write_text(token._replace(policy=3).text())
    enrol_if_due(config, ServiceManager({}))
    lines = f"device: a-root\ncatalog: {catalog.url}\nstate_dir: {config.state_dir}\n"
    (tmp_path / "agent.yaml").write_text(lines)
    configured = read_config(tmp_path / "agent.yaml", {})
    assert (configured.root, configured.least_policy) == (root, 3)


@pytest.mark.parametrize("spoilt", ["used", "another device's", "no token"])
def test_an_agent_that_is_not_let_in_says_why_in_one_sentence(catalog, tmp_path, spoilt):
    name = f"a-{spoilt[:2]}"
    catalog.register(name)
    config = agent_config(catalog, name, tmp_path)
    token = Token.read((tmp_path / "token").read_text())
    if spoilt == "used":
        enrol(catalog, token, new_key())
    elif spoilt == "no token":
        (tmp_path / "token").write_text("nothing of the kind")
    else:
        config = msgspec.structs.replace(config, device="a-else")
    with pytest.raises(ConfigError) as refused:
        enrol_if_due(config, ServiceManager({}))
    (problem,) = refused.value.problems
    assert problem.where == "token_file"
    assert token.secret not in str(refused.value)


def test_a_certificate_that_a_card_forgot_is_replaced_by_the_one_before(catalog, tmp_path):
    catalog.register("a-card")
    config = agent_config(catalog, "a-card", tmp_path)
    enrol_if_due(config, ServiceManager({}))
    made = Identity(config.state_dir)
    first = made.path.read_bytes()
    for damage in (b"", first[: len(first) // 2], b"\x00" * len(first)):
        made.path.write_bytes(damage)
        enrol_if_due(config, ServiceManager({}))
        assert made.path.read_bytes() == first
    is_older(catalog, "a-card", 250)
    exchange.renew("a-card", catalog.url, made)
    made.path.write_bytes(b"\x00" * 100)
    enrol_if_due(config, ServiceManager({}))
    client = CatalogClient(config)
    client.fetch()
    client.close()


def test_the_agent_renews_before_the_end_and_goes_on_with_the_new_certificate(catalog, tmp_path):
    catalog.register("a-renews")
    config = agent_config(catalog, "a-renews", tmp_path)
    enrol_if_due(config, ServiceManager({}))
    made, client = Identity(config.state_dir), CatalogClient(config)
    before, facts = made.key_in_force(), made.facts()
    client.poll(1, 0)
    life = facts.not_after - facts.not_before
    assert facts.not_before + 2 / 3 * life <= facts.renew_at < facts.not_before + 0.8 * life

    async def renew():
        task = asyncio.create_task(keep(config, wall=lambda: facts.renew_at + 1))
        await asyncio.to_thread(wait_until, lambda: made.facts() != facts, "a new certificate", timeout=30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    is_older(catalog, "a-renews", 250)
    asyncio.run(renew())
    assert made.key_in_force() not in (before, b"")
    assert made.facts().token == facts.token, "the token is still known to be used"
    client.fetch()
    client.close()


def test_a_device_that_is_locked_out_is_told_that_it_must_enrol_anew(catalog, tmp_path):
    catalog.register("a-locked")
    config = agent_config(catalog, "a-locked", tmp_path)
    enrol_if_due(config, ServiceManager({}))
    catalog.operator("POST", "/v1/devices/a-locked/revocation", json={})
    with pytest.raises(exchange.EnrolmentError, match="one that is void") as refused:
        exchange.renew("a-locked", catalog.url, Identity(config.state_dir))
    assert refused.value.final
    (tmp_path / "token").write_text(invite(catalog, "a-locked").text())
    enrol_if_due(config, ServiceManager({}))
    client = CatalogClient(config)
    client.fetch()
    client.close()
