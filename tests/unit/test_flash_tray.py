"""A list of cards as a spreadsheet saves it is read, or everything wrong with it is said before anything is written."""

import pytest

from device_catalog.operator.errors import UsageError
from device_catalog.operator.flashing.tray import Line, Memory, read_list


def listed(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "tray.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_list_is_read_with_either_separator_and_a_byte_order_mark(tmp_path, separator):
    text = '\ufeffDevice,Target,Place,Network\r\nm-1,/dev/sdb,"Straße 7, Nord",lte.yaml\r\n\r\nm-2,card.img\r\n'
    if separator == ";":
        text = text.replace('"Straße 7, Nord"', "Straße 7\u201a Nord").replace(",", ";").replace("\u201a", ",")
    lines = read_list(listed(tmp_path, text))
    assert lines == [
        Line(2, "m-1", "/dev/sdb", "Straße 7, Nord", str(tmp_path / "lte.yaml")),
        Line(4, "m-2", "card.img"),
    ]


def test_everything_wrong_with_a_list_is_said_at_once(tmp_path):
    path = listed(tmp_path, "device,target\nm 1,/dev/sdb\nm-2,\nm-3,a\nm-3,b\nm-4,c,d\n")
    with pytest.raises(UsageError, match="nothing was written") as refused:
        read_list(path)
    found = [str(problem) for problem in refused.value.problems]
    twice = "line 5: device: expected each meter once, found m-3 in line 4 too; two meters with one identity"
    assert found == [
        "line 2: device: expected letters, digits, _ and - (at most 64), found m 1",
        "line 3: target: expected a disk such as /dev/sdb, or a file, found nothing",
        f"{twice} would lock each other out",
        "line 6: expected 2 cells, found 3",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a line of names"),
        ("device,target\n", "from 1 to 10000 cards"),
        ("devise,target\nm-1,a\n", "did you mean device?"),
        ("device,target,target\nm-1,a,b\n", "each column once"),
        ("device\nm-1\n", "a column target"),
        ("device,target\n\x00,a\n", "letters, digits"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, text, said):
    with pytest.raises(UsageError) as refused:
        read_list(listed(tmp_path, text))
    assert said in "; ".join([str(refused.value), *map(str, refused.value.problems)])


def test_what_is_done_is_remembered_by_meter_and_image_over_a_power_cut(tmp_path):
    memory = Memory(tmp_path / "tray.csv.done")
    memory.add("m-1", "a" * 64, "/dev/sdb")
    memory.add("m-2", "a" * 64, "/dev/sdc")
    content = memory.path.read_bytes()
    for length in range(len(content)):
        memory.path.write_bytes(content[:length])
        torn = Memory(memory.path)
        whole = content[:length].count(b"\n") + (length in (content.index(b"\n"), len(content) - 1))
        known = [device for device in ("m-1", "m-2") if torn.done(device, "a" * 64)]
        assert known == ["m-1", "m-2"][:whole]
    torn = Memory(memory.path)
    torn.add("m-3", "a" * 64, "/dev/sdd")
    again = Memory(memory.path)
    assert again.done("m-3", "a" * 64)
    assert again.done("m-1", "a" * 64)
    assert again.done("m-1", "b" * 64) is None
