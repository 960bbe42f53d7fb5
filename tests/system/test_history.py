"""The history as people use it: a broker, its own process, the catalog's interface and the operator's command."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import requests

from algorithms.api.wire import time_text
from device_catalog.operator.__main__ import main
from tests.support.catalog import CatalogProcess
from tests.support.history import SECOND, HistoryProcess, Speaker, frames
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "device_catalog", "history")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A catalog and its history, which kept ten minutes of two meters."""
    state = tmp_path_factory.mktemp("state")
    start = (time.time_ns() // (60 * SECOND) - 10) * 60 * SECOND
    with (
        Mosquitto() as broker,
        CatalogProcess(state=state) as catalog,
        HistoryProcess(broker.url, state=state) as history,
    ):
        catalog.register("m-1")
        with Speaker(broker.port, "m-1") as meter, Speaker(broker.port, "m-2") as other:
            said = frames(start, 600)
            meter.say(said)
            other.say(frames(start, 10))
        wait_until(lambda: history.count("kept") == 610, "everything being kept")
        yield catalog, said


@pytest.fixture
def run(world, monkeypatch, capfdbinary):
    """Call the operator's command, as a console would; give status, output and errors."""
    catalog, _ = world
    monkeypatch.setenv("TRESMA_CATALOG", catalog.url)
    monkeypatch.setenv("TRESMA_TOKEN", catalog.token)

    def call(*words):
        status = main(["history", *words])
        out, errors = capfdbinary.readouterr()
        return status, out, errors.decode()

    return call


def ask(catalog, path, **query):
    return catalog.operator("GET", f"/v1/history{path}", params=query)


def test_what_was_said_is_read_page_by_page_each_record_once_and_in_order(world):
    catalog, said = world
    times, cursor = [], ""
    for _ in range(20):
        page = ask(catalog, "/m-1/frames", limit=97, cursor=cursor, fields="voltage.A.rms").json()
        times += [(record["time"], record["values"]["voltage.A.rms"]) for record in page["records"]]
        cursor = page["next"]
        if not cursor:
            break
    assert times == [(time_text(one.time_ns), pytest.approx(one.voltage["A"].rms)) for one in said]


def test_steps_are_means_of_what_was_said(world):
    catalog, said = world
    page = ask(catalog, "/m-1/frames", step=300, fields="voltage.A.rms,frequency").json()
    values = np.array([one.voltage["A"].rms for one in said])
    seconds = np.array([one.time_ns // SECOND // 300 for one in said])
    assert sum(step["records"] for step in page["steps"]) == len(said)
    for step, start in zip(page["steps"], np.unique(seconds), strict=True):
        of_step = values[seconds == start]
        told = step["values"]["voltage.A.rms"]
        assert told["mean"] == pytest.approx(of_step.mean(), rel=1e-7)
        assert (told["minimum"], told["maximum"]) == (pytest.approx(of_step.min()), pytest.approx(of_step.max()))
        assert told["count"] == len(of_step) == step["values"]["frequency"]["count"]


def test_a_page_that_is_known_is_not_sent_again_and_bad_questions_are_answered_with_every_problem(world):
    catalog, said = world
    query = {"from": time_text(said[0].time_ns), "to": time_text(said[50].time_ns)}
    first = ask(catalog, "/m-1/frames", **query)
    assert len(first.json()["records"]) == 50
    again = catalog.operator(
        "GET", "/v1/history/m-1/frames", params=query, headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    wrong = ask(
        catalog, "/m-1/frames", **{"from": "yesterday", "step": "7", "limit": "0", "format": "xls", "colour": "1"}
    )
    assert wrong.status_code == 422
    assert len(wrong.json()["problems"]) == 5
    assert ask(catalog, "/m-1/frames", cursor="1.2.3").status_code == 422
    assert ask(catalog, "/m-1/events", step=60).status_code == 422
    assert ask(catalog, "/m-1/events").status_code == ask(catalog, "/m-9").status_code == 404
    assert ask(catalog, "/m-1/weather").status_code == 404


def test_tables_are_exported_as_csv_and_parquet(world, run, tmp_path):
    catalog, said = world
    answer = ask(catalog, "/m-1/frames", format="csv", limit=100, fields="frequency,power.total.p")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert len(rows) == 100
    assert answer.headers["Next-Cursor"]
    assert float(rows[3]["power.total.p"]) == pytest.approx(said[3].power["total"].p)
    more = ask(catalog, "/m-1/frames", format="csv", limit=1, cursor=answer.headers["Next-Cursor"], fields="frequency")
    assert more.text.count("\n") == 1

    target = tmp_path / "frames.parquet"
    status, _, errors = run("show", "m-1", "--parquet", str(target))
    assert status == 0, errors
    table = pyarrow.parquet.read_table(target)
    assert table.num_rows == 600
    assert table["time"][5].value == said[5].time_ns
    assert table["voltage.A.rms"][5].as_py() == pytest.approx(said[5].voltage["A"].rms)
    assert ask(catalog, "/m-1/frames", format="parquet").content[:4] == b"PAR1"


def test_the_command_shows_lists_and_draws(run, tmp_path):
    status, out, errors = run("show", "m-1", "--step", "1min", "--fields", "voltage.A.rms")
    assert (status, errors) == (0, "10 steps\n")
    assert "voltage.A.rms.mean" in out.decode()
    status, out, _ = run("show", "m-1", "--last", "1h", "--limit", "3", "--json")
    assert status == 0
    assert [json.loads(line)["record"]["schema"] for line in out.splitlines()] == ["frame/1"] * 3
    status, out, _ = run("list")
    assert b"kept: 610" in out
    status, out, _ = run("list", "m-1")
    assert b"frames" in out
    picture = tmp_path / "voltage.svg"
    status, _, errors = run("show", "m-1", "--step", "1min", "--fields", "voltage", "--plot", str(picture))
    assert status == 0, errors
    assert picture.read_text().startswith("<?xml")
    status, _, errors = run("show", "m-3")
    assert status == 1
    assert "found none" in errors


def test_nobody_reads_it_without_a_token(world):
    catalog, _ = world
    for path in ("", "/m-1", "/m-1/frames"):
        assert requests.get(f"{catalog.url}/v1/history{path}", timeout=5).status_code == 401


def test_what_is_said_while_it_is_away_or_dies_is_kept_once_it_is_back_and_nobody_else_writes():
    start = time.time_ns() - 600 * SECOND
    with (
        Mosquitto(persistent=True) as broker,
        HistoryProcess(broker.url) as history,
        Speaker(broker.port, "m-1") as meter,
    ):
        messages = list(meter.messages(frames(start, 400)))
        meter.repeat(messages[:100])
        wait_until(lambda: history.count("kept") >= 50, "the first being kept")
        history.end(signal.SIGKILL)
        meter.repeat(messages[100:300])
        history.start()
        wait_until(lambda: history.count("kept") == 300, "what was said meanwhile")
        meter.repeat(messages[250:])
        meter.repeat([("v1/default/meters/m-1/frames", b"\xff{"), ("v1/default/meters/m-2/frames", messages[0][1])])
        wait_until(lambda: history.count("misplaced") == 1, "the last")
        assert history.count("kept") == 400
        assert history.count("duplicate") >= 50
        assert history.count("malformed") == 1
        assert history.count("gaps") == 0
        second = subprocess.run(
            [*COMMAND, f"--state={history.state}", f"--data-broker={broker.url}"],
            check=False,
            capture_output=True,
            timeout=30,
            cwd=Path(__file__).parents[2],
        )
        assert (second.returncode, b"only history" in second.stderr) == (69, True)
