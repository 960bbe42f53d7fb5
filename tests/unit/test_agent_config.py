"""The agent's own few lines."""

import pytest

from agent.config import read_config
from agent.errors import ConfigError


def written(tmp_path, text):
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return path


def test_three_lines_are_enough(tmp_path):
    path = written(tmp_path, "device: m-1\ncatalog: http://127.0.0.1:8080/\ncredential: s3cret\n")
    config = read_config(path, {"HOME": "/home/x", "STATE_DIRECTORY": "/var/lib/tresma"})
    assert (config.device, config.catalog, config.credential) == ("m-1", "http://127.0.0.1:8080", "s3cret")
    assert str(config.state_dir) == "/var/lib/tresma"


def test_the_environment_wins_over_the_file(tmp_path):
    path = written(tmp_path, "device: m-1\ncatalog: http://c\ncredential: s\n")
    assert read_config(path, {"TRESMA_DEVICE": "m-2"}).device == "m-2"


def test_a_credential_file_is_read_beside_the_configuration(tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    path = written(tmp_path, "device: m-1\ncatalog: http://c\ncredential_file: key\n")
    assert read_config(path, {}).credential == "s3cret"


def test_the_credential_is_not_shown(tmp_path):
    path = written(tmp_path, "device: m-1\ncatalog: http://c\ncredential: s3cret\n")
    assert "s3cret" not in repr(read_config(path, {}))


def test_every_problem_is_said_at_once(tmp_path):
    path = written(tmp_path, "devise: m-1\ncatalog: ftp://c\nlog_level: loud\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path, {})
    where = [problem.where for problem in caught.value.problems]
    assert where == ["devise", "device", "catalog", "credential", "log_level"]
    assert "did you mean device?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "an empty file"),
        ("- a\n- b\n", "list"),
        ("device: [unclosed\n", "line"),
        ("device: \x00\n", "no YAML"),
        ("catalog: http://user:pa55@host\ndevice: m\ncredential: x", "an address with a password"),
        ("device: " + "x" * 70_000, "more than 65536 bytes"),
    ],
)
def test_bad_files_are_refused_in_one_clear_sentence(tmp_path, text, expected):
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, text), {})
    assert expected in str(caught.value)
    assert "pa55" not in str(caught.value)


def test_a_missing_file_names_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="--config"):
        read_config(tmp_path / "absent.yaml", {})
