"""What is wrong with a document is found at once, and nothing that is right is refused."""

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.records import Kind
from device_catalog.contract.configuration_rules import problems_of
from device_catalog.contract.documents import (
    Acquisition,
    Assignment,
    Brokers,
    ChannelSetting,
    Configuration,
    Neighbours,
    Poll,
    TopologyReference,
)
from device_catalog.contract.validation import DocumentError, parse_configuration, parse_desired, parse_registration

GOOD = Configuration(
    brokers=Brokers(grid=("mqtt://a:1883", "mqtts://[::1]:8883"), data=("mqtt://b.example",)),
    acquisition=Acquisition(
        driver="uldaq",
        sample_rate=6400.0,
        options={"board": 0, "ranges": [10.0, None, True]},
        channels=(
            ChannelSetting("ua", "voltage", "A", 0, ratio=230.1),
            ChannelSetting("ia", "current", "A", "CH 2", reversed=True, phase_correction=-0.01),
        ),
    ),
    algorithms=(
        Assignment("phasors", {"window": 4}, "1.4.2"),
        Assignment("lv_state", neighbours=(Neighbours(Kind.FRAME, devices=("m-1",)),), publish=1.0),
    ),
    poll=Poll(10.0, 35.0),
    terminal="_7f1b.T1",
    topology=TopologyReference("n-1", "a-1", 3, 4),
)


def wrong(**changes):
    return {problem.where.removeprefix("configuration.") for problem in problems_of(changed(**changes))}


def changed(**changes):
    return msgspec.structs.replace(GOOD, **changes)


def acquisition(**changes):
    return {"acquisition": msgspec.structs.replace(GOOD.acquisition, **changes)}


def channel(**changes):
    return acquisition(channels=(msgspec.structs.replace(GOOD.acquisition.channels[0], **changes),))


def test_a_right_configuration_has_no_problems_and_is_read_back_as_written():
    assert problems_of(GOOD) == []
    assert parse_configuration(msgspec.json.encode(GOOD)) == GOOD
    assert parse_configuration({}) == Configuration()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"poll": Poll(60.0, 60.0)}, {"poll.lease"}),
        ({"poll": Poll(-1.0, float("nan"))}, {"poll.interval", "poll.lease"}),
        ({"terminal": "a b"}, {"terminal"}),
        (
            {"topology": TopologyReference("", "a/b", -1, -1)},
            {f"topology.{name}" for name in ("network", "area", "model_revision", "topology_revision")},
        ),
        (
            {
                "brokers": Brokers(
                    grid=("http://a", "mqtt://a:0", "mqtt://", "mqtt://a/x", "mqtt://a:99999", "mqtt://a b")
                )
            },
            {f"brokers.grid[{index}]" for index in range(6)},
        ),
        ({"brokers": Brokers(data=("mqtt://a", "mqtt://a"))}, {"brokers.data"}),
        (
            acquisition(sample_rate=-5.0, nominal_frequency=0.0),
            {"acquisition.sample_rate", "acquisition.nominal_frequency"},
        ),
        (acquisition(sample_rate=float("inf")), {"acquisition.sample_rate"}),
        (acquisition(block_duration=1e-5), {"acquisition.block_duration"}),
        (acquisition(history=0.01), {"acquisition.history"}),
        (acquisition(options={"a": [{"b": float("nan")}]}), {"acquisition.options.a[0].b"}),
        (acquisition(channels=GOOD.acquisition.channels * 2), {"acquisition.channels"}),
        (
            channel(name="", quantity="volts", phase="L1", input=-1),
            {f"acquisition.channels[0].{name}" for name in ("name", "quantity", "phase", "input")},
        ),
        (
            channel(ratio=0.0, gain=float("nan"), gain_uncertainty=-0.1),
            {f"acquisition.channels[0].{name}" for name in ("ratio", "gain", "gain_uncertainty")},
        ),
        ({"algorithms": (Assignment("phasors"), Assignment("phasors"))}, {"algorithms"}),
        (
            {"algorithms": (Assignment("a b", version="new", publish=-1.0),)},
            {"algorithms[0].algorithm", "algorithms[0].version", "algorithms[0].publish"},
        ),
        (
            {"algorithms": (Assignment("a", neighbours=(Neighbours(Kind.SAMPLES, ("m-1",)),)),)},
            {"algorithms[0].neighbours[0].kind"},
        ),
        ({"algorithms": (Assignment("a", neighbours=(Neighbours(Kind.FRAME),)),)}, {"algorithms[0].neighbours[0]"}),
        (
            {"algorithms": (Assignment("a", neighbours=(Neighbours(Kind.GRID_STATE, ("m-1",)),)),)},
            {"algorithms[0].neighbours[0].devices"},
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_place(changes, where):
    assert wrong(**changes) == where


def test_a_password_in_an_address_is_refused_without_being_repeated():
    problems = problems_of(changed(brokers=Brokers(grid=("mqtt://me:secret@a",))))
    assert len(problems) == 1
    assert "secret" not in str(problems[0])


def test_shape_and_meaning_are_judged_together():
    with pytest.raises(DocumentError) as caught:
        parse_configuration(
            b'{"acquisition": {"sample_rate": "6.4 kHz", "driver": "x", "channels": [7, {"name": "u", "phase": 3}]},'
            b'"algorithms": {}, "polls": {}, "poll": {"lease": 1}}'
        )
    assert {problem.where.removeprefix("configuration.") for problem in caught.value.problems} == {
        "polls",
        "acquisition.sample_rate",
        "acquisition.channels[0]",
        "acquisition.channels[1].quantity",
        "acquisition.channels[1].phase",
        "acquisition.channels[1].input",
        "algorithms",
        "poll.lease",
    }
    assert "did you mean poll?" in str(caught.value)
    assert "write the bare number in Hz" in str(caught.value)


def test_a_long_document_is_refused_by_its_length_before_it_is_read():
    with pytest.raises(DocumentError, match="found 10000000 bytes"):
        parse_configuration(b"[" * 10_000_000)


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"terminal": "\xff"}'])
def test_what_is_no_json_object_is_one_problem(text):
    with pytest.raises(DocumentError) as caught:
        parse_configuration(text)
    assert len(caught.value.problems) == 1


def test_a_desired_document_of_another_schema_or_without_one_is_refused():
    good = {"schema": "desired/1", "device": "m-1", "tenant": "t", "revision": 1, "issued": "2026-01-01T00:00:00Z"}
    assert parse_desired({**good, "configuration": {}}).revision == 1
    for change, where in (
        ({"schema": "desired/2"}, "desired.schema"),
        ({"device": "../m"}, "desired.device"),
        ({"revision": 0}, "desired.revision"),
        ({"issued": "2026-01-01T00:00:00"}, "desired.issued"),
        ({"configuration": {"poll": {"interval": 0}}}, "desired.configuration.poll.interval"),
    ):
        with pytest.raises(DocumentError) as caught:
            parse_desired({**good, "configuration": {}, **change})
        assert where in {problem.where for problem in caught.value.problems}


def test_a_registration_names_a_device_that_can_stand_in_a_topic():
    assert parse_registration(b'{"device": "m-1", "kind": "service"}').kind == "service"
    with pytest.raises(DocumentError) as caught:
        parse_registration(b'{"device": "m/1", "kind": "robot", "description": 3}')
    assert {problem.where for problem in caught.value.problems} == {
        "registration.device",
        "registration.kind",
        "registration.description",
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Configuration.__struct_fields__, "driver", "grid", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*Configuration.__struct_fields__, "x"]), json_values, max_size=6))
def test_any_document_is_read_or_refused_with_problems_and_nothing_else_happens(document):
    problems: tuple[object, ...] = ()
    configuration = None
    try:
        configuration = parse_configuration(document)
    except DocumentError as refusal:
        problems = refusal.problems
    assert problems or problems_of(configuration) == []


def test_an_agent_reads_documents_without_numpy():
    code = "import device_catalog.contract.validation, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
