"""The record of a card's two roots: what is tried and given up, and what survives a torn sector."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

SLOT = Path(__file__).parents[2] / "packaging/image/files/usr/lib/tresma/slot"
MIB = 1 << 20
SECTORS = (0x800, 0x2000)
PARTITIONS = ((8, 128), (136, 16), (152, 16), (168, 16))
"""Begin and size [MiB]."""


@pytest.fixture
def card(tmp_path):
    """A card with four partitions, and something like a root in the second and third."""
    path = tmp_path / "card.img"
    with path.open("wb") as file:
        file.truncate(185 * MIB)
        for number, (begin, size) in enumerate(PARTITIONS):
            file.seek(446 + 16 * number + 8)
            file.write(struct.pack("<II", begin * 2048, size * 2048))
        file.seek(510)
        file.write(b"\x55\xaa")
        for begin, _ in PARTITIONS[1:3]:
            file.seek(begin * MIB + 1080)
            file.write(b"\x53\xef")
    return path


def slot(card, *words, ok=True):
    done = subprocess.run(
        [sys.executable, SLOT, *words, "--disk", card], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode == 0) == ok, done.stderr
    return json.loads(done.stdout) if ok else done.stderr


def page(card, sector):
    """Variables of one copy of the record, as U-Boot's `env import -c` takes them."""
    with card.open("rb") as file:
        file.seek(sector * 512)
        block = file.read(512)
    assert struct.unpack_from("<I", block)[0] == zlib.crc32(block[4:])
    text, _, rest = block[4:].partition(b"\0\0")
    assert not rest.strip(b"\0")
    return dict(pair.decode().split("=") for pair in text.split(b"\0"))


def test_a_fresh_card_starts_from_its_first_root_and_both_copies_say_so(card):
    said = slot(card, "fresh")
    assert (said["default"], said["trying"]) == ("A", "")
    assert {name: one["state"] for name, one in said["slots"].items()} == {"A": "good", "B": "empty"}
    wanted = {"slot_default": "A", "slot_try": "none", "slot_tried": "none", "slot_A": "good", "slot_B": "empty"}
    assert page(card, SECTORS[0]) == page(card, SECTORS[1]) == {**wanted, "slot_left": "9"}


def test_the_inactive_root_is_where_the_partition_table_says(card):
    assert slot(card, "inactive") == {"slot": "B", "device": f"{card}@{152 * MIB}", "size": 16 * MIB}


def test_what_is_tried_is_not_the_default_and_may_be_given_up(card):
    slot(card, "fresh")
    tried = slot(card, "try", "B")
    assert (tried["default"], tried["trying"], tried["slots"]["B"]["state"]) == ("A", "B", "trying")
    given_up = slot(card, "bad", "B")
    assert (given_up["default"], given_up["trying"], given_up["slots"]["B"]["state"]) == ("A", "", "bad")


def test_the_default_is_neither_tried_nor_called_bad(card):
    slot(card, "fresh")
    for act in ("try", "bad"):
        assert "take B" in slot(card, act, "A", ok=False)


def test_what_holds_no_root_is_not_tried(card):
    with card.open("r+b") as file:
        file.seek(152 * MIB + 1080)
        file.write(b"\0\0")
    assert "write one first" in slot(card, "try", "B", ok=False)


@pytest.mark.parametrize(("spoilt", "trying"), [(0, ""), (1, "B")])
def test_a_copy_that_was_torn_leaves_the_other(card, spoilt, trying):
    slot(card, "fresh")
    before = card.read_bytes()[SECTORS[1] * 512 :][:512]
    slot(card, "try", "B")
    with card.open("r+b") as file:
        if spoilt == 0:  # the power went while the first copy was written: the second is still the old one
            file.seek(SECTORS[1] * 512)
            file.write(before)
        file.seek(SECTORS[spoilt] * 512 + 40)
        file.write(b"torn")
    assert slot(card, "status")["trying"] == trying


def test_only_a_running_root_can_be_called_good_and_only_a_card_is_looked_at(card, tmp_path):
    assert "expected to run from" in slot(card, "good", ok=False)
    other = tmp_path / "other"
    other.write_bytes(bytes(MIB))
    assert "table of partitions" in slot(other, "status", ok=False)
