"""What packaging/monitoring offers, against what meters really say and a real InfluxDB."""

import itertools
import json
import re
import time
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml

from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState
from algorithms.api.records import Event, Result, Severity
from algorithms.builtin.energy import Energy
from algorithms.builtin.phasors import Phasors
from device_catalog.history.arrival import document_of
from device_catalog.history.line_protocol import names_of
from tests.support.history import SECOND, HistoryProcess, Speaker
from tests.support.influxdb import InfluxDB
from tests.support.mosquitto import Mosquitto
from tests.support.quality_week import interval
from tests.support.records_for_tests import CHANNELS, START_NS, steady_blocks
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "packaging" / "monitoring"


def dashboard():
    return json.loads((FOLDER / "grafana" / "tresma-meters.json").read_text())


def queries():
    return [target["query"] for panel in dashboard()["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def records():
    """What the built-in algorithms say of twelve seconds of a steady grid, and one record of each other class."""
    context = Context("m-1", "t-1", 50.0, 230.0, CHANNELS, 6400.0, synchronised=True)
    plugins = [Phasors({}), Energy({"interval": 10})]
    for plugin in plugins:
        plugin.start(context, None)
    made = [record for block in steady_blocks(12.0) for plugin in plugins for record in plugin.process(block)]
    made.append(Event("voltage-dip", "t-1", START_NS, START_NS + SECOND, Severity.WARNING, ("A",), {"depth": 0.2}))
    made.append(GridState("lv-1", "lv", START_NS, 1, 1, (), objective=3.5, degrees_of_freedom=4))
    made.append(Result("quality/1", "t-1", START_NS, interval(0), True))
    shift = time.time_ns() // SECOND * SECOND - 60 * SECOND - START_NS
    return [shifted(record, shift) for record in made]


def shifted(record, shift):
    names = [name for name in ("time_ns", "start_ns", "end_ns") if getattr(record, name, None) is not None]
    return msgspec.structs.replace(record, **{name: getattr(record, name) + shift for name in names})


def test_every_query_of_the_dashboard_is_answered_by_a_real_database(records):
    with InfluxDB() as database, Mosquitto() as broker:
        options = [f"--line-protocol={database.url}"]
        with HistoryProcess(broker.url, options) as history, Speaker(broker.port, "m-1") as meter:
            database.stop()
            said = meter.say(records)
            meter.repeat(said[:100])
            wait_until(lambda: history.count("kept") == len(records), "everything being kept")
            database.start()
            frames = sum(type(record).__name__ == "MeasurementFrame" for record in records)

            def told():
                series = database.query('SELECT count("frequency") FROM "frame"')
                return series and series[0]["values"][0][1] == frames

            wait_until(told, "what was handed on once the database was back", timeout=30, interval=0.1)
            wait_until(lambda: database.query('SELECT "ended" FROM "event"'), "the event", timeout=30)
        for query in queries():
            asked = query.replace("$timeFilter", "time > now() - 1h").replace("$__interval", "1m")
            asked = asked.replace("$tenant", ".*").replace("$device", ".*")
            series = database.query(asked)
            values = [value for one in series for row in one["values"] for value in row[1:]]
            assert any(value is not None for value in values), asked
        for variable in dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                assert database.query(variable["query"])[0]["values"]


def test_the_dashboard_names_what_there_is(records):
    with_names = itertools.groupby(sorted(said(records)), key=lambda one: one[0])
    known = {measurement: set().union(*(names for _, names in group)) for measurement, group in with_names}
    for query in queries():
        (measurement,) = re.findall(r'FROM "(\w+)"', query)
        asked = re.findall(r'"([^"]+)"', query.partition(" FROM ")[0])
        assert set(asked) <= known[measurement] | {"kind", "severity", "device"}, query
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def said(records):
    """Give the measurement and the field names of each record's line."""
    names = {"MeasurementFrame": "frame", "Event": "event", "GridState": "state"}
    for topic, payload in Silent().messages(records):
        document = document_of(payload)
        last = topic.rpartition("/")[2]
        kind = {"frames": "frame", "events": "event"}.get(last, "state" if "/states/" in topic else last)
        assert kind in (*names.values(), "energy", "quality")
        yield kind, sorted(names_of(document))


class Silent(Speaker):
    """Writes messages and says them to nobody."""

    def __init__(self):
        self.device, self.boot, self._tenant = "m-1", 1, "default"
        self.number, self._before = 0, {}


def test_telegraf_finds_what_it_looks_for_in_a_message(records):
    settings = tomllib.loads((FOLDER / "telegraf.conf").read_text())
    (consumer,) = settings["inputs"]["mqtt_consumer"]
    (topic, payload), *_ = Silent().messages(records)
    pattern = consumer["topics"][0].replace("+", "[^/]+")
    assert re.fullmatch(pattern, topic)
    parsing = consumer["topic_parsing"][0]
    tags = dict(zip(parsing["tags"].split("/"), topic.split("/"), strict=True))
    assert (tags["tenant"], tags["device"]) == ("default", "m-1")
    message = json.loads(payload)
    (parser,) = consumer["json_v2"]
    assert message[parser["timestamp_path"]].endswith("Z")
    known = names_of(document_of(payload))
    for field in parser["field"]:
        value = message
        for part in field["path"].split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        assert isinstance(value, int | float), field
        assert field["rename"] in known, field


def test_provisioning_names_the_database_that_lines_go_to():
    folder = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "tresma.yaml").read_text())["datasources"]
    assert (source["type"], source["jsonData"]["dbName"]) == ("influxdb", "tresma")
    assert yaml.safe_load((folder / "dashboards" / "tresma.yaml").read_text())["providers"][0]["type"] == "file"
