"""
Everything wrong with what a configuration says: ranges, names, duplicates, addresses.

Its shape is right already (`shape`); `validation` joins the two. Whether a driver or an algorithm exists, and whether
its own settings are right, only the device can tell. Pure; no numpy.
"""

import math
import re
from urllib.parse import urlsplit

from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Kind
from device_catalog.contract.documents import (
    Acquisition,
    Assignment,
    Brokers,
    ChannelSetting,
    Configuration,
    Neighbours,
    Poll,
    Recorder,
    TopologyReference,
)
from device_catalog.contract.image_rules import judge_image
from device_catalog.contract.outputs import problems_of_outputs
from device_catalog.contract.rules import IDENTIFIER, Problems
from device_catalog.contract.topics import is_identifier
from device_catalog.contract.update_rules import judge_update

MAXIMUM_ENDPOINTS = 8
MAXIMUM_CHANNELS = 256
MAXIMUM_ALGORITHMS = 64
MAXIMUM_NEIGHBOURS = 1000
MAXIMUM_SAMPLE_RATE = 10e6
"""[Hz]"""
RECORDER_MARGIN = 1.0
"""An algorithm may tell of an event so much after its start [s]."""

_terminal = re.compile(r"[A-Za-z0-9_.:#-]{0,128}")
_neighbourly = (Kind.FRAME, Kind.EVENT, Kind.GRID_STATE, Kind.PROPOSAL, Kind.RESULT, Kind.COMMAND)


def problems_of(configuration: Configuration, where: str = "configuration") -> list[Problem]:
    """
    Find everything wrong with what a configuration says; an empty list means that it can be applied.

    Whether a driver or an algorithm exists, and whether its own settings are right, only the device can tell.
    """
    problems = Problems()
    _of_brokers(problems, configuration.brokers, f"{where}.brokers")
    if configuration.acquisition is not None:
        _of_acquisition(problems, configuration.acquisition, f"{where}.acquisition")
    _of_algorithms(problems, configuration.algorithms, f"{where}.algorithms")
    _of_poll(problems, configuration.poll, f"{where}.poll")
    problems.expect(
        bool(_terminal.fullmatch(configuration.terminal)),
        f"{where}.terminal",
        "letters, digits, _ . : # and - (at most 128), or nothing for the device's own id",
        configuration.terminal,
    )
    if configuration.topology is not None:
        _of_topology(problems, configuration.topology, f"{where}.topology")
    if configuration.recorder is not None:
        _of_recorder(problems, configuration.recorder, configuration.acquisition, where)
    problems.found.extend(problems_of_outputs(configuration, f"{where}.outputs"))
    judge_image(problems, configuration, f"{where}.image")
    reopened = configuration.commissioning.reopened if configuration.commissioning is not None else None
    zoned = reopened is None or reopened.tzinfo is not None
    problems.expect(zoned, f"{where}.commissioning.reopened", "a time with its zone, such as ...Z", reopened)
    return problems.found


def _of_brokers(problems: Problems, brokers: Brokers, where: str) -> None:
    for name in ("grid", "data"):
        endpoints: tuple[str, ...] = getattr(brokers, name)
        path = f"{where}.{name}"
        problems.expect(len(endpoints) <= MAXIMUM_ENDPOINTS, path, f"at most {MAXIMUM_ENDPOINTS}", len(endpoints))
        problems.unique(endpoints, path, "endpoint")
        for index, endpoint in enumerate(endpoints[:MAXIMUM_ENDPOINTS]):
            problem = problem_of_endpoint(endpoint, f"{path}[{index}]")
            if problem is not None:
                problems.found.append(problem)


def problem_of_endpoint(endpoint: str, where: str) -> Problem | None:
    """
    Judge the address of a broker.

    >>> problem_of_endpoint("mqtt://broker.example:1883", "grid")
    >>> print(problem_of_endpoint("http://broker.example", "grid"))
    grid: expected mqtt://host:port or mqtts://host:port, found http://broker.example
    """
    expected = "mqtt://host:port or mqtts://host:port"
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return Problem(where, expected, shortened(endpoint))
    if "@" in parts.netloc:  # the text found is left out: it holds a password
        return Problem(where, expected, "a user name in the address", "credentials are not part of a configuration")
    bare = parts.path in ("", "/") and not (parts.query or parts.fragment)
    clean = bare and endpoint.isascii() and len(endpoint) < 300
    host = parts.hostname or ""
    named = bool(re.fullmatch(r"[A-Za-z0-9_.:%-]+", host))
    if parts.scheme not in ("mqtt", "mqtts") or not named or not clean or port == 0:
        return Problem(where, expected, shortened(endpoint))
    return None


def _of_acquisition(problems: Problems, acquisition: Acquisition, where: str) -> None:
    problems.expect(is_identifier(acquisition.driver), f"{where}.driver", IDENTIFIER, acquisition.driver)
    problems.free(acquisition.options, f"{where}.options")
    rate_right = problems.number(acquisition.sample_rate, f"{where}.sample_rate", 0, MAXIMUM_SAMPLE_RATE, above=True)
    duration_right = problems.number(acquisition.block_duration, f"{where}.block_duration", 0, 10, above=True)
    if rate_right and duration_right:
        samples = acquisition.sample_rate * acquisition.block_duration
        problems.expect(
            samples >= 1,
            f"{where}.block_duration",
            f"at least one sample, {1 / acquisition.sample_rate:g} s at this rate [s]",
            acquisition.block_duration,
        )
    problems.number(acquisition.nominal_frequency, f"{where}.nominal_frequency", 10, 1000)
    problems.number(acquisition.nominal_voltage, f"{where}.nominal_voltage", 0, 1e6, above=True)
    if problems.number(acquisition.history, f"{where}.history", 0, 3600, above=True) and duration_right:
        problems.expect(
            acquisition.history >= acquisition.block_duration,
            f"{where}.history",
            f"at least block_duration, {acquisition.block_duration:g} [s]",
            acquisition.history,
        )
    channels = acquisition.channels
    problems.expect(
        len(channels) <= MAXIMUM_CHANNELS, f"{where}.channels", f"at most {MAXIMUM_CHANNELS}", len(channels)
    )
    problems.unique((channel.name for channel in channels), f"{where}.channels", "channel name")
    problems.unique((channel.input for channel in channels), f"{where}.channels", "input")
    for index, channel in enumerate(channels[:MAXIMUM_CHANNELS]):
        _of_channel(problems, channel, f"{where}.channels[{index}]")


def _of_channel(problems: Problems, channel: ChannelSetting, where: str) -> None:
    problems.expect(is_identifier(channel.name), f"{where}.name", IDENTIFIER, channel.name)
    quantities, phases = ("voltage", "current"), ("A", "B", "C", "N")
    problems.expect(channel.quantity in quantities, f"{where}.quantity", "voltage or current", channel.quantity)
    problems.expect(channel.phase in phases, f"{where}.phase", "A, B, C or N", channel.phase)
    if isinstance(channel.input, str):
        problems.expect(0 < len(channel.input) <= 128, f"{where}.input", "1 to 128 characters", channel.input)
    else:
        problems.expect(0 <= channel.input < 4096, f"{where}.input", "an input number from 0 to 4095", channel.input)
    problems.number(channel.ratio, f"{where}.ratio", 0, 1e9, above=True)
    problems.number(channel.gain, f"{where}.gain", 0, 1e6, above=True)
    problems.number(channel.offset, f"{where}.offset", -1e3, 1e3)
    problems.number(channel.phase_correction, f"{where}.phase_correction", -math.pi, math.pi)
    problems.number(channel.gain_uncertainty, f"{where}.gain_uncertainty", 0, 1)
    problems.number(channel.phase_uncertainty, f"{where}.phase_uncertainty", 0, math.pi)


def _of_algorithms(problems: Problems, assignments: tuple[Assignment, ...], where: str) -> None:
    problems.expect(len(assignments) <= MAXIMUM_ALGORITHMS, where, f"at most {MAXIMUM_ALGORITHMS}", len(assignments))
    problems.unique((assignment.algorithm for assignment in assignments), where, "algorithm")
    for index, assignment in enumerate(assignments[:MAXIMUM_ALGORITHMS]):
        path = f"{where}[{index}]"
        problems.expect(is_identifier(assignment.algorithm), f"{path}.algorithm", IDENTIFIER, assignment.algorithm)
        judge_update(problems, assignment, path)
        problems.free(assignment.settings, f"{path}.settings")
        problems.number(assignment.publish, f"{path}.publish", 0, 10_000)
        limits = assignment.limits
        problems.number(limits.memory, f"{path}.limits.memory", 0, 2**40, above=True)
        problems.number(limits.processor, f"{path}.limits.processor", 0, 64, above=True)
        problems.number(limits.records_per_second, f"{path}.limits.records_per_second", 0, 1e6, above=True)
        problems.number(limits.record_size, f"{path}.limits.record_size", 0, 64 * 2**20, above=True)
        problems.number(limits.response, f"{path}.limits.response", 0, 3600, above=True)
        for number, neighbours in enumerate(assignment.neighbours):
            _of_neighbours(problems, neighbours, f"{path}.neighbours[{number}]")


def _of_neighbours(problems: Problems, neighbours: Neighbours, where: str) -> None:
    kinds = ", ".join(_neighbourly)
    problems.expect(neighbours.kind in _neighbourly, f"{where}.kind", f"a kind that travels: {kinds}", neighbours.kind)
    problems.expect(
        bool(neighbours.devices or neighbours.areas), where, "the devices or areas whose records are asked for", "none"
    )
    if neighbours.kind is Kind.GRID_STATE and neighbours.devices:
        problems.expect(False, f"{where}.devices", "areas: states are published by area", "devices", "name areas")
    if neighbours.kind is Kind.COMMAND and neighbours.devices:
        problems.expect(False, f"{where}.devices", "areas: the switches whose orders are carried out", "devices")
    for field in ("devices", "areas"):
        names: tuple[str, ...] = getattr(neighbours, field)
        problems.expect(len(names) <= MAXIMUM_NEIGHBOURS, f"{where}.{field}", f"<= {MAXIMUM_NEIGHBOURS}", len(names))
        problems.unique(names, f"{where}.{field}", "name")
        for index, name in enumerate(names[:MAXIMUM_NEIGHBOURS]):
            problems.expect(is_identifier(name), f"{where}.{field}[{index}]", IDENTIFIER, name)


def _of_poll(problems: Problems, poll: Poll, where: str) -> None:
    interval_right = problems.number(poll.interval, f"{where}.interval", 0.05, 86_400)
    lease_right = problems.number(poll.lease, f"{where}.lease", 0.1, 7 * 86_400)
    if interval_right and lease_right:
        problems.expect(
            poll.lease > poll.interval,
            f"{where}.lease",
            f"more than the interval, {poll.interval:g} [s]",
            poll.lease,
            f"three intervals and some slack bear two lost polls: {3.25 * poll.interval:g}",
        )


def _of_topology(problems: Problems, topology: TopologyReference, where: str) -> None:
    problems.expect(is_identifier(topology.network), f"{where}.network", IDENTIFIER, topology.network)
    area_right = not topology.area or is_identifier(topology.area)
    problems.expect(area_right, f"{where}.area", f"nothing, or {IDENTIFIER}", topology.area)
    problems.expect(topology.model_revision >= 0, f"{where}.model_revision", "0 or more", topology.model_revision)
    problems.expect(
        topology.topology_revision >= 0, f"{where}.topology_revision", "0 or more", topology.topology_revision
    )


def _of_recorder(problems: Problems, recorder: Recorder, acquisition: Acquisition | None, parent: str) -> None:
    where = f"{parent}.recorder"
    problems.expect(
        acquisition is not None, where, "an acquisition whose samples are recorded", "none", "remove the recorder"
    )
    problems.expect(
        len(recorder.kinds) <= MAXIMUM_ALGORITHMS, f"{where}.kinds", f"<= {MAXIMUM_ALGORITHMS}", len(recorder.kinds)
    )
    problems.unique(recorder.kinds, f"{where}.kinds", "kind")
    for index, kind in enumerate(recorder.kinds[:MAXIMUM_ALGORITHMS]):
        problems.expect(is_identifier(kind), f"{where}.kinds[{index}]", IDENTIFIER, kind)
    before_right = problems.number(recorder.before, f"{where}.before", 0, 60)
    after_right = problems.number(recorder.after, f"{where}.after", 0, 60)
    longest_right = problems.number(recorder.longest, f"{where}.longest", 0, 120, above=True)
    if before_right and after_right and longest_right:
        least = recorder.before + recorder.after
        problems.expect(
            recorder.longest > least, f"{where}.longest", f"more than before and after, {least:g} [s]", recorder.longest
        )
    problems.number(recorder.budget, f"{where}.budget", 2**20, 2**40)
    problems.number(recorder.per_hour, f"{where}.per_hour", 1, 3600)
    problems.number(recorder.upload_rate, f"{where}.upload_rate", 1e3, 1e9)
    if before_right and acquisition is not None and math.isfinite(acquisition.history):
        least = recorder.before + RECORDER_MARGIN
        problems.expect(
            acquisition.history >= least,
            f"{parent}.acquisition.history",
            f"at least recorder.before and the {RECORDER_MARGIN:g} s that an algorithm may take to tell of an event, "
            f"{least:g} [s]",
            acquisition.history,
        )
