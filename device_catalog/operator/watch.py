"""
``tresma watch``: the fleet as it is, live: frames from the data broker, presence from the grid broker.

Where the brokers are is asked of the catalog, or said by ``--grid`` and ``--data``. On a terminal a table is redrawn
four times a second; elsewhere a line a meter every few seconds; with ``--json`` a line a frame. It ends with Ctrl-C,
SIGTERM or after ``--seconds``.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
from rich.live import Live

from algorithms.api.wire import time_text
from device_catalog.contract import topics
from device_catalog.contract.documents import Configuration
from device_catalog.operator.catalog import Catalog
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.fleet import Arrival, FleetView
from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.output import drawing, note, say, say_json
from device_catalog.operator.settings import Settings
from device_catalog.operator.subscriber import Subscriber
from device_catalog.operator.table import fleet_screen, lines, occurrence_line

REDRAW = 0.25
"""Between two drawings of the table [s]."""

FIRST_REPORT, REPORT = 1.0, 5.0
"""Until the first report where there is no terminal, and between two [s]."""

LOOKED_UP = 100
"""Devices whose configuration is asked of the catalog."""

SHOWN = 8
"""Lines of what happened."""


def watch(options: argparse.Namespace, settings: Settings) -> None:
    """Watch until Ctrl-C, or for ``--seconds``."""
    brokers, configurations = _find(options, settings)
    voltages = {
        device: configuration.acquisition.nominal_voltage
        for device, configuration in configurations.items()
        if configuration.acquisition is not None
    }
    tenant = options.tenant or "+"
    listened = subscriptions(tenant)
    view = FleetView(
        nominal_voltage=voltages, devices=frozenset(options.device), whole=len(brokers) == len(topics.BROKERS)
    )
    names = ", ".join(f"{name} {' or '.join(addresses)}" for name, addresses in brokers.items())
    note(f"watching {names}; Ctrl-C ends")
    with Subscriber(brokers, {name: listened[name] for name in brokers}, settings.trust) as subscriber:
        try:
            if options.json:
                _stream(options, view, subscriber)
            elif sys.stdout.isatty():
                _draw(options, view, subscriber)
            else:
                _report(options, view, subscriber)
        except KeyboardInterrupt:
            note("")
    _close(view, subscriber)


def subscriptions(tenant: str) -> dict[str, list[str]]:
    """
    Return what to listen to, by broker: all that devices number, so that gaps can be told from silence.

    Parameters
    ----------
    tenant : str
        ``+`` for all.
    """
    return {
        "grid": [
            topics.session(tenant, "+"),
            topics.availability(tenant, "+"),
            topics.catalog_state(tenant),
            topics.faults(tenant, "+"),
            topics.proposals(tenant, "+"),
            topics.requests(tenant, "+"),
            topics.replies(tenant, "+"),
        ],
        "data": [f"v1/{tenant}/meters/+/#", topics.states(tenant, "+", "+")],
    }


def _find(
    options: argparse.Namespace, settings: Settings
) -> tuple[dict[str, tuple[str, ...]], dict[str, Configuration]]:
    """Find out where the brokers are, and what the devices are told to do."""
    said: dict[str, tuple[str, ...]] = {
        "grid": (settings.grid,) if settings.grid else (),
        "data": (settings.data,) if settings.data else (),
    }
    configurations: dict[str, Configuration] = {}
    if settings.catalog:
        try:
            with Catalog(settings) as catalog:
                configurations = _configurations(options, catalog)
        except OperatorError as error:
            if not all(said.values()):
                raise
            note(f"{error}; going on with the brokers named")
    for configuration in configurations.values():
        said["grid"] = said["grid"] or configuration.brokers.grid
        said["data"] = said["data"] or configuration.brokers.data
    if not any(said.values()):
        raise UsageError(
            "where are the brokers? No device in the catalog names any; give --grid mqtt://host:1883 and "
            "--data mqtt://host:1884, or --catalog"
        )
    return {name: addresses for name, addresses in said.items() if addresses}, configurations


def _configurations(options: argparse.Namespace, catalog: Catalog) -> dict[str, Configuration]:
    names = options.device or [
        device.device
        for device in islice(catalog.devices({"tenant": options.tenant} if options.tenant else {}), LOOKED_UP)
    ]
    return {name: catalog.device(name).desired.configuration for name in names}


def _stream(options: argparse.Namespace, view: FleetView, subscriber: Subscriber) -> None:
    deadline = _deadline(options)
    while time.monotonic() < deadline:
        for arrival in subscriber.arrivals(timeout=min(0.2, max(0.0, deadline - time.monotonic()))):
            if view.arrived(arrival) is not None or (options.all and _is_record(arrival)):
                say_json(_line(arrival))


def _is_record(arrival: Arrival) -> bool:
    """Tell whether a message is an event or a result."""
    return arrival.payload.startswith((b'{"schema":"event/', b'{"schema":"result/'))


def _line(arrival: Arrival) -> dict[str, Any]:
    """Return a frame as it was sent, and when it arrived."""
    fields: dict[str, Any] = msgspec.json.decode(arrival.payload)
    return {**fields, "arrived": time_text(arrival.time_ns)}


def _draw(options: argparse.Namespace, view: FleetView, subscriber: Subscriber) -> None:
    deadline = _deadline(options)
    console = drawing()
    with Live(console=console, auto_refresh=False) as live:
        while time.monotonic() < deadline:
            _take(view, subscriber, min(deadline, time.monotonic() + REDRAW))
            happened = [occurrence_line(item) for item in list(view.occurrences)[-SHOWN:]]
            now_ns = time.time_ns()
            live.update(
                fleet_screen(view, subscriber.links, now_ns, happened=happened, width=console.width), refresh=True
            )


def _report(options: argparse.Namespace, view: FleetView, subscriber: Subscriber) -> None:
    deadline = _deadline(options)
    told: Occurrence | None = None
    pause = FIRST_REPORT
    while time.monotonic() < deadline:
        _take(view, subscriber, min(deadline, time.monotonic() + pause))
        pause = REPORT
        for line in lines(view, time.time_ns()):
            say(line)
        for occurrence in view.occurred_after(told):
            say(f"what happened: {occurrence_line(occurrence)}")
            told = occurrence
        sys.stdout.flush()


def _take(view: FleetView, subscriber: Subscriber, until: float) -> None:
    """Take in what arrives until the monotonic time `until` [s]."""
    while (left := until - time.monotonic()) > 0.0:
        for arrival in subscriber.arrivals(timeout=left):
            view.arrived(arrival)


def _close(view: FleetView, subscriber: Subscriber) -> None:
    """Say what was seen, and fail where nothing could be: a watcher that heard no broker has watched nothing."""
    for name, link in subscriber.links.items():
        if not link.connections:
            raise OperatorError(f"the {name} broker was never reached: {link.last_error or 'no answer'}")
    _summary(view.meters)
    if subscriber.overflowed:
        note(f"{subscriber.overflowed} messages came faster than they could be looked at, and count as missing")


def _summary(meters: Mapping[str, Any]) -> None:
    frames = sum(meter.frames for meter in meters.values())
    missing = sum(meter.missing for meter in meters.values())
    duplicates = sum(meter.duplicates for meter in meters.values())
    devices = "1 device" if len(meters) == 1 else f"{len(meters)} devices"
    note(f"{frames} frames of {devices}; missing {missing}, duplicates {duplicates}")


def _deadline(options: argparse.Namespace) -> float:
    return time.monotonic() + options.seconds if options.seconds else float("inf")
