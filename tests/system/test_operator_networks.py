"""``tresma network put|get|list|switch|topology`` against a real catalog."""

import json
import signal
from types import SimpleNamespace

import pytest

from device_catalog.operator.__main__ import main
from tests.support.catalog import CatalogProcess
from tests.support.layered_network import layered_document
from tests.support.networks import element

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def catalog():
    with CatalogProcess() as running:
        running.register("agent-lv", configuration={"topology": {"network": "net-3", "area": "lv-1"}})
        yield running


@pytest.fixture
def tresma(catalog, tmp_path, monkeypatch, capsys):
    """Run the command as an operator of the catalog would, in this process: it takes a while to load."""
    monkeypatch.setenv("TRESMA_CATALOG", catalog.url)
    monkeypatch.setenv("TRESMA_TOKEN", catalog.token)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*words, status=0, text=None):
        file = tmp_path / "input.json"
        if text is not None:
            file.write_text(text)
        try:
            found = main(["network", *(str(file) if word == "-" else word for word in words)])
        except SystemExit as wrong:
            found = wrong.code
        done = SimpleNamespace(**dict(zip(("stdout", "stderr"), capsys.readouterr(), strict=True)))
        assert found == status, f"{words}: {found}\n{done.stdout}\n{done.stderr}"
        assert catalog.token not in done.stdout + done.stderr
        return done

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_a_network_goes_in_comes_out_and_is_switched(tresma, tmp_path):
    document = layered_document()
    done = tresma("put", "-", text=json.dumps(document))
    assert done.stdout.splitlines() == ["net-3: revision 1 is in force", "one device is told: agent-lv"]
    assert "nothing has changed" in tresma("put", "-", text=json.dumps(document)).stdout
    element(document, "b-m2")["length"] = 600.0
    again = tresma("put", "-", text=json.dumps(document))
    assert again.stdout.splitlines() == ["net-3: revision 2 is in force"], "the part of lv-1 is the same"
    assert "revision 1 becomes 2" in again.stderr

    assert json.loads(tresma("get", "net-3").stdout)["revision"] == 2
    assert json.loads(tresma("get", "net-3", "--revision", "1").stdout)["revision"] == 1
    part = tmp_path / "part.json"
    tresma("get", "net-3", "--area", "lv-1", "--output", str(part))
    assert "right" in tresma("check", str(part)).stdout
    assert "net-3" in tresma("list").stdout
    assert [item["revision"] for item in json.loads(tresma("list", "net-3", "--json").stdout)] == [2, 1]

    dry = tresma("switch", "net-3", "tie-l=closed", "s-l2=open", "--dry-run")
    assert sorted(dry.stdout.splitlines()) == ["~ s-l2: closed -> open", "~ tie-l: open -> closed"]
    done = tresma("switch", "net-3", "tie-l=closed", "s-l2=open")
    assert "switch states of revision 1 are in force" in done.stdout
    assert "agent-lv" in done.stdout
    assert "closed  tie-l" in tresma("topology", "net-3").stdout
    assert "nothing has changed" in tresma("switch", "net-3", "tie-l=closed").stderr
    states = json.loads(tresma("topology", "net-3", "--json").stdout)
    states |= {"revision": 2, "states": states["states"] | {"s-l2": "closed", "tie-l": "open"}}
    assert "revision 2" in tresma("topology", "net-3", "--file", "-", text=json.dumps(states)).stdout
    tresma("switch", "net-3", "s-l2=open")
    assert "revision 4" in tresma("switch", "net-3", "--normal").stdout
    assert len(tresma("list", "net-3", "--switches").stdout.splitlines()) == 5


def test_an_area_that_nobody_has_is_told_wherever_it_is_named(tresma, catalog, capsys):
    document = layered_document("net-areas")
    tresma("put", "-", text=json.dumps(document))
    catalog.register("agent-areas")

    def devices(*words):
        assert main(["devices", *words]) == 0
        printed = capsys.readouterr()
        return printed.out + printed.err

    assert "no network nett" in devices("set", "agent-areas", "topology.network=nett")
    assert "no area lv-9 of network net-areas" in devices(
        "set", "agent-areas", "topology.network=net-areas", "topology.area=lv-9"
    )
    assert "no area lv-9 of network net-areas" in devices("show", "agent-areas")
    assert "warning" not in devices("set", "agent-areas", "topology.area=c-1")
    assert "gets no part" not in devices("show", "agent-areas")
    document["areas"] = [area for area in document["areas"] if area["id"] != "c-1"]
    said = tresma("put", "-", text=json.dumps(document)).stderr
    assert "areas that net-areas has not, and get no part of it: agent-areas" in said


def test_what_cannot_be_is_refused_with_the_reason(tresma):
    tresma("put", "-", text=json.dumps(layered_document("net-x")))
    wrong = layered_document("net-x", revision=2)
    element(wrong, "b-m2")["to_node"] = "m9"
    assert "b-m2" in tresma("put", "-", text=json.dumps(wrong), status=1).stderr
    loop = tresma("switch", "net-x", "tie-m=closed", status=1).stderr
    assert "no loop in the radial area mv" in loop
    misspelt = tresma("switch", "net-x", "tie-n=closed", "s-l2=ajar", status=2).stderr
    assert "did you mean" in misspelt
    assert "open or closed" in misspelt
    assert "found none called nowhere" in tresma("get", "nowhere", status=1).stderr
    assert "lv-9" in tresma("get", "net-x", "--area", "lv-9", status=1).stderr
    tresma("get", "net x", status=2)
    tresma("switch", "net-x", status=2)
