"""``tresma network import|check|draw`` as commands: what they print, what they write, how they end."""

import json
import signal
import sys

import pytest

from device_catalog.operator.__main__ import main
from tests.support.foreign_networks import ODD, SWITCHED, write_master
from tests.support.networks import element, feeder_document


@pytest.fixture
def tresma(capsys):
    before = signal.getsignal(signal.SIGTERM)  # the command takes it over

    def run(*words, status=0):
        found = main(["network", *map(str, words)])
        printed = capsys.readouterr()
        assert found == status, printed.err
        return printed

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def feeder(tmp_path):
    file = tmp_path / "feeder.json"
    file.write_text(json.dumps(feeder_document()))
    return file


def broken(tmp_path):
    document = feeder_document()
    element(document, "b3")["length"] = -1.0
    element(document, "t1")["vector_group"] = "Dyn10"
    element(document, "c2")["node"] = "l9"
    element(document, "b1")["line_type"] = "nothing"
    element(document, "m1")["base_voltage"] = 20.0
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(document))
    return file


def test_check_sums_a_right_document_up(tresma, feeder):
    printed = tresma("check", feeder).out
    assert "right" in printed
    assert "20 kV: 4 nodes, 1.30 km of lines" in printed
    assert "1 more with all switches closed" in printed


def test_check_tells_every_problem_in_groups_with_its_remedy(tresma, tmp_path):
    printed = tresma("check", broken(tmp_path), status=1).err
    assert "transformers (1)" in printed
    assert "it looks like kV: state it in V" in printed
    assert "branches[b3].length: expected more than 0 m, found -1" in printed
    assert "expected a right network document, found" in printed


def test_check_answers_programs_in_json(tresma, feeder, tmp_path):
    right = json.loads(tresma("check", "--json", feeder).out)
    assert right["problems"] == []
    assert right["summary"]["transformers"] == 1
    wrong = json.loads(tresma("check", "--json", broken(tmp_path), status=1).out)
    assert {"branches[b1].line_type", "loads[c2].node"} <= {problem["where"] for problem in wrong["problems"]}


def test_check_reads_what_is_no_json_and_what_is_not_there(tresma, tmp_path):
    file = tmp_path / "text.json"
    file.write_text("no json")
    assert "expected JSON" in tresma("check", file, status=1).err
    assert "expected a file that can be read" in tresma("check", tmp_path / "none.json", status=2).err


def test_import_writes_a_document_and_says_what_it_has_not(tresma, tmp_path):
    target = tmp_path / "odd.json"
    printed = tresma(
        "import", write_master(tmp_path, "odd", ODD), "-o", target, "--id", "town-7", "--revision", "4"
    ).out
    assert "left out: transformer (split): 3 windings" in printed
    assert "compared: 20 voltages agree with that program's within 0.0003" in printed
    document = json.loads(target.read_bytes())
    assert (document["network"], document["revision"]) == ("town-7", 4)
    tresma("check", target)


def test_import_adds_areas_and_meters_where_asked_to(tresma, tmp_path):
    target = tmp_path / "lv.json"
    source = "pandapower:create_cigre_network_lv"
    printed = tresma("import", source, "-o", target, "--areas", "--concentrators", "--meters", "--json").out
    report = json.loads(printed)
    assert report["summary"]["areas"] == {"mv": 1, "lv": 3, "concentrator": 9}
    assert report["summary"]["terminals"] == 18
    assert report["difference"]["relative"] < 1e-6
    tresma("check", target)


def test_import_prints_the_document_where_no_file_is_named(tresma, tmp_path):
    printed = tresma("import", write_master(tmp_path, "switched", SWITCHED))
    assert json.loads(printed.out)["schema"] == "network/1"
    assert "curves of relays" in printed.err


def test_import_writes_over_nothing_unless_told_to(tresma, feeder, tmp_path):
    before = feeder.read_bytes()
    source = write_master(tmp_path, "switched", SWITCHED)
    assert "say --force" in tresma("import", source, "-o", feeder, status=2).err
    assert feeder.read_bytes() == before
    tresma("import", source, "-o", feeder, "--force")
    assert feeder.read_bytes() != before


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("none.dss",), 2, "found no such file"),
        (("pandapower:nothing_like_it",), 1, "expected the name of a net of pandapower.networks"),
        (("pandapower:create_cigre_network_mv?volts=3",), 1, "expected the arguments of create_cigre_network_mv"),
        (("european-lv", "--id", "a b"), 2, "expected an id"),
        (("european-lv", "--concentrators"), 2, "expected --areas"),
        (("european-lv", "--json"), 2, "expected --output FILE with --json"),
        (("european-lv", "-o", "no/such/folder/lv.json"), 2, "expected a folder that exists"),
    ],
)
def test_import_refuses_what_it_cannot_do_with_the_remedy(tresma, words, status, message):
    printed = tresma("import", *words, status=status)
    assert message in printed.out + printed.err


@pytest.mark.parametrize(
    ("source", "library"), [("pandapower:create_cigre_network_mv", "pandapower"), ("net.dss", "dss")]
)
def test_a_missing_library_is_named_with_what_installs_it(tresma, tmp_path, monkeypatch, source, library):
    monkeypatch.setitem(sys.modules, library, None)
    file = write_master(tmp_path, "net", SWITCHED)
    printed = tresma("import", source if ":" in source else file, status=1).err
    assert "pip install 'tresma[import]'" in printed


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_draw_writes_a_picture(tresma, feeder, tmp_path, ending, start):
    target = tmp_path / f"feeder.{ending}"
    assert tresma("draw", feeder, "-o", target).out.strip() == str(target)
    assert target.read_bytes().startswith(start)


def test_draw_refuses_wrong_documents_other_endings_and_maps_without_positions(tresma, feeder, tmp_path):
    assert "problems" in tresma("draw", broken(tmp_path), "-o", tmp_path / "x.svg", status=1).err
    assert ".svg, .png, .pdf" in tresma("draw", feeder, "-o", tmp_path / "x.bmp", status=2).err
    assert "draw a tree" in tresma("draw", feeder, "-o", tmp_path / "x.svg", "--layout", "map", status=2).err


def test_help_teaches_each_verb(capsys):
    for verb, words in (("import", "european-lv"), ("check", "summed up"), ("draw", "under the pointer")):
        with pytest.raises(SystemExit) as ended:
            main(["network", verb, "--help"])
        assert ended.value.code == 0
        assert words in capsys.readouterr().out
