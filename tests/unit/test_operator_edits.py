"""An operator's edits, and the difference that is shown."""

import pytest

from device_catalog.operator.edits import apply_edits, completed, difference_lines, parse_document
from device_catalog.operator.errors import UsageError

DOCUMENT = {
    "poll": {"interval": 60.0, "lease": 195.0},
    "algorithms": [{"algorithm": "phasors", "settings": {}}, {"algorithm": "energy"}],
    "acquisition": None,
}


@pytest.mark.parametrize(
    ("edit", "place", "value"),
    [
        ("poll.interval=5", ("poll", "interval"), 5),
        ("terminal=T17", ("terminal",), "T17"),
        ("algorithms[1].publish=2.5", ("algorithms", 1, "publish"), 2.5),
        ("algorithms[energy].publish=1", ("algorithms", 1, "publish"), 1),
        ("algorithms[phasors].settings.window=0.06", ("algorithms", 0, "settings", "window"), 0.06),
        ("acquisition.driver=simulated", ("acquisition", "driver"), "simulated"),
        ('algorithms[2]={"algorithm": "lv_state"}', ("algorithms", 2), {"algorithm": "lv_state"}),
        ("brokers.grid=[mqtt://a:1, mqtt://b:2]", ("brokers", "grid"), ["mqtt://a:1", "mqtt://b:2"]),
    ],
)
def test_an_edit_sets_the_value_at_its_path(edit, place, value):
    found = apply_edits(DOCUMENT, [edit])
    for step in place:
        found = found[step]
    assert found == value


def test_an_edit_without_a_value_takes_the_setting_out():
    assert apply_edits(DOCUMENT, ["poll.lease="])["poll"] == {"interval": 60.0}
    assert apply_edits(DOCUMENT, ["algorithms[phasors]="])["algorithms"] == [{"algorithm": "energy"}]


def test_the_document_given_is_left_as_it_is():
    apply_edits(DOCUMENT, ["poll.interval=5"])
    assert DOCUMENT["poll"]["interval"] == 60.0


def test_every_edit_that_cannot_be_made_is_named():
    wrong = [
        "poll",
        "=5",
        "algorithms[9].publish=1",
        "algorithms[pasors].publish=1",
        "poll.interval.x=1",
        "a..b=1",
        "x=[1",
    ]
    with pytest.raises(UsageError) as caught:
        apply_edits(DOCUMENT, wrong)
    assert len(caught.value.problems) == len(wrong)
    assert "phasors, energy" in str(caught.value.problems[3])


def test_a_difference_names_list_items_so_that_an_insertion_shifts_nothing():
    after = apply_edits(DOCUMENT, ["poll.interval=5"])
    after["algorithms"].insert(0, {"algorithm": "quality"})
    assert difference_lines(DOCUMENT, after) == [
        "~ poll.interval: 60.0 -> 5",
        '+ algorithms[quality]: {"algorithm":"quality"}',
    ]


def test_a_default_written_out_is_no_difference():
    assert difference_lines(completed({}), completed({"poll": {"interval": 60.0}})) == []


def test_what_is_not_valid_is_still_compared():
    assert difference_lines(completed({"polll": 1}), completed({"polll": 2})) == ["~ polll: 1 -> 2"]


@pytest.mark.parametrize("text", [b"", b"[1, 2]", b"just words", b"a: [", b"\xff\xfe\x00", b"a" * (2**20 + 1)])
def test_a_file_that_is_no_mapping_is_refused_with_its_name(text):
    with pytest.raises(UsageError, match=r"meter\.yaml: expected"):
        parse_document(text, "meter.yaml")


def test_yaml_and_json_are_both_read():
    assert parse_document(b"poll: {interval: 5}", "x") == parse_document(b'{"poll": {"interval": 5}}', "x")
