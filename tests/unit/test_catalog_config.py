"""How a catalog is configured: what wins, what is refused, and what the command says."""

import json
import re
from pathlib import Path

import pytest

from device_catalog.__main__ import main
from device_catalog.config import ConfigError, operator_token, read_config


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(tmp_path):
    file = tmp_path / "catalog.yaml"
    file.write_text("host: 0.0.0.0\nport: 1000\ntenant: north\ngrid_brokers: [mqtt://a]\n")
    environment = {
        "TRESMA_CATALOG_PORT": "2000",
        "TRESMA_CATALOG_TENANT": "south",
        "TRESMA_CATALOG_GRID_BROKERS": "mqtt://b, mqtts://c:8883",
        "STATE_DIRECTORY": str(tmp_path),
    }
    config = read_config(file, environment, {"port": 3000, "host": None})
    assert (config.host, config.port, config.tenant) == ("0.0.0.0", 3000, "south")
    assert config.grid_brokers == ("mqtt://b", "mqtts://c:8883")
    assert config.database == f"sqlite:///{tmp_path}/catalog.db"
    assert config.operator_token_file == f"{tmp_path}/operator.token"


def test_every_problem_of_a_configuration_is_told_at_once(tmp_path):
    file = tmp_path / "catalog.yaml"
    file.write_text("port: many\nsuspicious_share: 2\nlog_level: loud\ngrid_brokers: [http://a]\ncolour: red\n")
    with pytest.raises(ConfigError) as caught:
        read_config(file, {}, {})
    assert [problem.where for problem in caught.value.problems] == [
        "colour",
        "port",
        "suspicious_share",
        "log_level",
        "grid_brokers[0]",
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "port: [", "x" * 200_000, "\x00"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path, text):
    file = tmp_path / "catalog.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_config(file, {}, {})
    with pytest.raises(ConfigError):
        read_config(tmp_path / "absent.yaml", {}, {})


def test_the_operator_token_is_made_once_and_short_ones_are_refused(tmp_path):
    file = tmp_path / "folder" / "operator.token"
    token = operator_token(file)
    assert len(token) >= 40
    assert operator_token(file) == token
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("secret\n")
    with pytest.raises(ConfigError) as caught:
        operator_token(file)
    assert "secret" not in str(caught.value)


def test_the_command_teaches_and_tells_apart_how_it_failed(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--help"])
    assert ended.value.code == 0
    assert "TRESMA_CATALOG_PORT" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["server"])
    assert ended.value.code == 64
    assert main(["serve", "--state", str(tmp_path), "--port", "99999"]) == 78
    assert "port: expected a number from 1 to 65535, found 99999" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["serve", "--state", str(tmp_path / "file" / "state")]) == 69
    assert "Not a directory; give another --state" in capsys.readouterr().err
    assert main(["migrate", "--database", "mysql://x/y"]) == 69
    assert main(["migrate", "--database", f"sqlite:///{tmp_path}/a/b/c.db"]) == 69
    capsys.readouterr()
    assert main(["migrate", "--database", f"sqlite:///{tmp_path}/new.db"]) == 0
    assert re.fullmatch(r"database: shape none -> \d{4}\n", capsys.readouterr().out)
    assert main(["openapi"]) == 0
    assert json.loads(capsys.readouterr().out)["openapi"] == "3.1.0"


def test_bringing_a_database_to_the_newest_shape_leaves_it_closed(tmp_path):
    assert main(["migrate", "--database", f"sqlite:///{tmp_path}/new.db"]) == 0
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [path for path in opened if path.is_relative_to(tmp_path)]
