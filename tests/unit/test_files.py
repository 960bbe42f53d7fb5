"""Files are replaced whole or not at all."""

import pytest

from agent.files import move_aside, write_durably


def test_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "state"
    write_durably(path, b"old")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_is_nobody_elses_business(tmp_path):
    write_durably(tmp_path / "state", b"secret")
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_failed_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "state"
    path.mkdir()
    with pytest.raises(OSError, match="state"):
        write_durably(path, b"new")
    assert path.is_dir()
    assert not path.with_name("state.new").exists()


def test_unusable_file_is_moved_aside(tmp_path):
    path = tmp_path / "state"
    path.write_bytes(b"?")
    aside = move_aside(path)
    assert not path.exists()
    assert aside.read_bytes() == b"?"
