"""What an agent keeps for its next start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store import Store


def test_settings_and_checkpoints_come_back(tmp_path):
    Store(tmp_path).keep_settings(b"one")
    Store(tmp_path).keep_checkpoint("energy", b"\x00\xff" * 10)
    again = Store(tmp_path)
    assert again.settings() == b"one"
    assert again.checkpoint("energy") == b"\x00\xff" * 10
    assert again.checkpoint("other") is None
    assert again.complaints == []


def test_nothing_is_found_in_a_new_folder(tmp_path):
    assert Store(tmp_path / "new" / "folder").settings() is None


@pytest.mark.parametrize("damage", [b"", b"tresma 1 00000000\ntwo", b"garbage"])
def test_damaged_settings_are_passed_over_for_the_generation_before_and_said(tmp_path, damage):
    store = Store(tmp_path)
    store.keep_settings(b"one")
    store.keep_settings(b"two")
    (tmp_path / "settings").write_bytes(damage)
    again = Store(tmp_path)
    assert again.settings() == b"one"
    assert len(again.complaints) == 1
    assert (tmp_path / "settings.damaged").exists()


def test_keeping_the_same_settings_again_writes_nothing(tmp_path):
    store = Store(tmp_path)
    store.keep_settings(b"one")
    before = (tmp_path / "settings").stat().st_mtime_ns
    store.keep_settings(b"one")
    assert (tmp_path / "settings").stat().st_mtime_ns == before
    assert not (tmp_path / "settings.before").exists()


@given(cut=st.integers(0, 40))
def test_every_truncation_is_noticed(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder)
    store.keep_checkpoint("a", b"x" * 30)
    path = folder / "checkpoints" / "a"
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    assert Store(folder).checkpoint("a") in ((b"x" * 30,) if cut >= len(whole) else (None,))


@pytest.mark.parametrize("generation", ["settings", "settings.before"])
def test_a_card_that_cannot_be_read_is_passed_over_and_said_once(tmp_path, generation):
    store = Store(tmp_path)
    store.keep_settings(b"one")
    store.keep_settings(b"two")
    (tmp_path / generation).unlink()
    (tmp_path / generation).symlink_to("/proc/self/mem")  # reading it is an input/output error
    again = Store(tmp_path)
    assert again.settings() == (b"one" if generation == "settings" else b"two")
    (tmp_path / "checkpoints" / "energy").mkdir()
    for _ in range(3):
        assert again.checkpoint("energy") is None
    assert "energy cannot be read: Is a directory" in again.complaints[-1]
    if generation == "settings":
        assert "settings cannot be read: Input/output error" in again.complaints[0]
    assert len(again.complaints) == (2 if generation == "settings" else 1)


def test_a_file_grown_beyond_all_measure_is_not_read_into_memory(tmp_path):
    store = Store(tmp_path)
    store.keep_settings(b"one")
    with (tmp_path / "settings").open("ab") as file:
        file.truncate(1 << 40)
    assert Store(tmp_path).settings() is None
