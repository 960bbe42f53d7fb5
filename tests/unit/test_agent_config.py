"""The agent's own few lines."""

import json

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


@pytest.mark.parametrize("secret", ["two\nlines", "two words", "caf\u00e9", "bell\a!", "tab\tbed"])
@pytest.mark.parametrize("how", ["file", "environment", "credential file"])
def test_a_credential_that_fits_in_no_header_is_refused_where_it_is_read_and_not_shown(tmp_path, how, secret):
    lines, environment = "device: m-1\ncatalog: http://c\n", {}
    if how == "file":
        lines += f"credential: {json.dumps(secret)}\n"
    elif how == "environment":
        environment["TRESMA_CREDENTIAL"] = secret
    else:
        (tmp_path / "key").write_text(secret, encoding="utf-8")
        lines += "credential_file: key\n"
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, lines), environment)
    (problem,) = caught.value.problems
    assert problem.where == ("credential_file" if how == "credential file" else "credential")
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "found"), [("2024-13-45", "month must be in 1..12"), ("2024-01-02", "2024"), ("[m-1]", "m-1")]
)
def test_a_value_that_yaml_takes_for_something_else_is_one_clear_sentence(tmp_path, value, found):
    path = written(tmp_path, f"device: {value}\ncatalog: http://c\ncredential: s\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path, {})
    assert "expected a " in str(caught.value)
    assert found in str(caught.value)


def test_a_root_of_trust_is_read_beside_the_configuration_and_nothing_else_is_taken_for_one(tmp_path):
    lines = "device: m-1\ncatalog: http://c\ncredential: x\n"
    path = tmp_path / "agent.yaml"
    path.write_text(lines)
    assert read_config(path, {}).root == b""
    path.write_text(f"{lines}root_file: root.json\n")
    root = tmp_path / "root.json"
    with pytest.raises(ConfigError, match="root_file: expected the root of trust"):
        read_config(path, {})
    for wrong in (b"", b"[]", b"\xff", b'{"signed": {"_type": "targets"}}', b"[" * 100_000):
        root.write_bytes(wrong)
        with pytest.raises(ConfigError, match="something else; it is metadata/1"):
            read_config(path, {})
    root.write_bytes(b'{"signed": {"_type": "root"}}')
    assert read_config(path, {}).root == root.read_bytes()
