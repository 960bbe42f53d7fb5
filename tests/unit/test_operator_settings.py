"""Where the operator's commands find the catalog and the token."""

from pathlib import Path

import pytest

from device_catalog.operator.errors import UsageError
from device_catalog.operator.settings import read_settings


@pytest.fixture
def environment(tmp_path):
    return {"TRESMA_OPERATOR_FILE": str(tmp_path / "operator.yaml")}


def write(environment, text):
    Path(environment["TRESMA_OPERATOR_FILE"]).write_text(text)


def test_options_win_over_the_environment_and_that_over_the_file(environment):
    write(environment, "catalog: http://file\ntoken: of-file\ngrid: mqtt://file\n")
    environment |= {"TRESMA_CATALOG": "http://environment/", "TRESMA_TOKEN": "of-environment"}
    settings = read_settings({"catalog": None}, environment)
    assert (settings.catalog, settings.token, settings.grid) == ("http://environment", "of-environment", "mqtt://file")
    assert read_settings({"catalog": "http://option"}, environment).catalog == "http://option"


def test_a_token_file_given_as_an_option_replaces_the_token_of_the_environment(environment, tmp_path):
    file = tmp_path / "token"
    file.write_text("of-option\n")
    environment["TRESMA_TOKEN"] = "of-environment"
    assert read_settings({"token_file": str(file)}, environment).token == "of-option"


def test_nothing_said_anywhere_is_no_error_yet(environment):
    assert read_settings({}, environment).catalog == ""


def test_the_token_is_never_shown(environment):
    environment["TRESMA_TOKEN"] = "geheim"
    assert "geheim" not in repr(read_settings({}, environment))


def test_a_broken_file_is_refused_without_repeating_what_it_says(environment):
    write(environment, "token: [geheim\n")
    with pytest.raises(UsageError, match="expected YAML") as caught:
        read_settings({}, environment)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_everything_wrong_is_said_at_once(environment):
    write(environment, "catalogue: http://x\ntoken: 5\n")
    with pytest.raises(UsageError) as caught:
        read_settings({}, environment)
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 2
    assert "did you mean catalog?" in said[0]


@pytest.mark.parametrize("address", ["catalog.example.org", "ftp://x", "http://", "http://x:99999", "http://x:y"])
def test_an_address_that_is_none_is_refused(environment, address):
    with pytest.raises(UsageError) as caught:
        read_settings({"catalog": address}, environment)
    assert "begin with http" in str(caught.value.problems[0])
