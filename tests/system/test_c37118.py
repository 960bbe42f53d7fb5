"""A real agent's phasors, read by a concentrator that is not ours."""

import itertools
import math
import socket

import pytest

from tests.support.agent import Plant
from tests.support.concentrator import Concentrator
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def outputs(port, **settings):
    return {"c37_118": {"address": "127.0.0.1", "port": port, "id_code": 7, "fixed_frequency": True, **settings}}


def connected(port):
    """Wait until the agent listens."""

    def listens():
        with socket.socket() as knocking:
            return knocking.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, "the agent to listen", timeout=40.0, interval=0.2)
    return Concentrator(port, 7)


def test_a_concentrator_reads_the_phasors_of_an_agent():
    """Configuration, header and two seconds of data over TCP, while the same agent publishes as ever; then none."""
    port = free_port()
    simulated = {"driver": "simulated", "sample_rate": 6400, "options": {"frequency": 50.1, "power_factor": 0.9}}
    with Plant() as plant:
        plant.add("m-1", outputs=outputs(port, polar=True), acquisition=simulated)
        with connected(port) as concentrator:
            configuration = concentrator.configuration()
            assert configuration.get_station_name().strip() == "m-1"
            assert configuration.get_stream_id_code() == 7
            names = [name.strip() for name in configuration.get_channel_names()]
            assert names == ["VA", "VB", "VC", "IA", "IB", "IC", "V1", "I1"]
            assert [kind for _, kind in configuration.get_ph_units()] == ["v"] * 3 + ["i"] * 3 + ["v", "i"]
            assert (configuration.get_fnom(), configuration.get_data_rate()) == (50, 50)
            assert "tresma meter m-1" in concentrator.header()
            frames = [frame.get_measurements() for frame in concentrator.measurements(100)]
        times = [frame["time"] for frame in frames]
        assert [round((b - a) * 1000) for a, b in itertools.pairwise(times)] == [20] * 99
        last = frames[-1]["measurements"][0]
        assert last["stat"] == "ok"
        assert last["frequency"] == pytest.approx(50.1, abs=0.002)
        phasors = dict(zip(names, last["phasors"], strict=True))
        assert phasors["VA"][0] == pytest.approx(230.0, rel=1e-3)
        lag = math.remainder(phasors["VA"][1] - phasors["IA"][1], math.tau)
        assert lag == pytest.approx(math.acos(0.9), abs=2e-3)
        step = math.remainder(phasors["VA"][1] - phasors["VB"][1], math.tau)
        assert step == pytest.approx(math.tau / 3, abs=1e-3)

        revision = plant.configure("m-1", outputs={})
        plant.wait_for_revision("m-1", revision)
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_an_address_that_cannot_be_had_is_told_to_the_catalog_and_stops_nothing():
    with Plant() as plant:
        plant.add("m-1", outputs={"c37_118": {"address": "192.0.2.77"}})

        def told():
            reported = plant.reported("m-1")
            return reported if any("192.0.2.77" in problem for problem in reported.get("problems", ())) else None

        reported = wait_until(told, "the problem in the agent's report", timeout=40.0, interval=0.2)
        assert reported["refused"] is None
        assert reported["algorithms"]["phasors"]["state"] == "running"
