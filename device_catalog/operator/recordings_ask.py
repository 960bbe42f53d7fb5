"""
``tresma recordings record``: ask a device on the grid broker to record now.

One `Request` with the subject ``record``, one `Reply`. A request is no wish that may wait, so it does not go through
the catalog: a device that is away does not answer, and nothing is left behind.
"""

import argparse
import queue
import secrets
import time
from collections.abc import Sequence
from itertools import islice

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from algorithms.api.errors import WireError
from algorithms.api.records import Reply, Request
from algorithms.api.wire import Header, decode, encode
from device_catalog.contract import topics
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json
from device_catalog.operator.recordings import RecordingsCatalog
from device_catalog.operator.settings import Settings, Trust
from device_catalog.operator.subscriber import Endpoint, parse_endpoint

ANSWER = 10.0
"""How long a device may take to answer [s]."""

TOLD = 60.0
"""How long after its end a recording may take to be known in the catalog [s]."""

_NEWEST = 20  # among these it will be
_NANOSECONDS = 1_000_000_000


def record(options: argparse.Namespace, catalog: RecordingsCatalog, settings: Settings) -> None:
    """Ask for a recording, and wait until the catalog knows of it."""
    detail = catalog.device(options.device)
    configuration = detail.desired.configuration
    if configuration.recorder is None:
        remedy = f"tresma devices set {options.device} 'recorder={{}}'"
        raise OperatorError(f"expected a device with a recorder, found none configured for {options.device}; {remedy}")
    addresses = (settings.grid,) if settings.grid else configuration.brokers.grid
    if not addresses:
        raise UsageError(f"where is the grid broker? {options.device} is told of none; give --grid mqtt://host:1883")
    reply = _ask(
        [parse_endpoint(address) for address in addresses],
        settings.trust,
        detail.summary.tenant,
        options.device,
        {"duration": options.seconds},
    )
    if reply.problems:
        raise OperatorError(f"{options.device} does not record", reply.problems)
    name = str(reply.payload.get("id", ""))
    note(f"{options.device} records {name}")
    deadline = time.monotonic() + options.seconds + configuration.recorder.after + TOLD
    while not _is_known(catalog, options.device, name):
        if time.monotonic() > deadline:
            raise OperatorError(f"the catalog has not heard of {options.device}/{name} yet; look for it later")
        time.sleep(0.5)
    if options.json:
        say_json({"recording": f"{options.device}/{name}"})
    else:
        say(f"{options.device}/{name}")


def _is_known(catalog: RecordingsCatalog, device: str, name: str) -> bool:
    return any(entry.info.id == name for entry in islice(catalog.recordings(device), _NEWEST))


def _ask(endpoints: Sequence[Endpoint], trust: Trust, tenant: str, device: str, arguments: dict[str, object]) -> Reply:
    """Publish a request, and return the reply to it."""
    reasons = []
    for endpoint in endpoints:
        try:
            reply = _ask_at(endpoint, trust, tenant, device, arguments)
        except (OSError, ValueError) as error:
            reasons.append(f"{endpoint}: {getattr(error, 'strerror', None) or error}")
        else:
            if reply is not None:
                return reply
            reasons.append(f"{device} did not answer at {endpoint} within {ANSWER:g} s")
    raise OperatorError(f"{'; '.join(reasons)}; is the device there? `tresma devices show {device}` tells")


def _ask_at(endpoint: Endpoint, trust: Trust, tenant: str, device: str, arguments: dict[str, object]) -> Reply | None:
    sender = f"tresma-{secrets.token_hex(6)}"
    now = time.time_ns()
    expires = now + round(ANSWER * _NANOSECONDS)
    request = Request(secrets.token_hex(8), sender, device, "record", now, expires, arguments)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    ready: queue.SimpleQueue[None] = queue.SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    if endpoint.tls:
        client.tls_set_context(trust.context())
    if endpoint.user:
        client.username_pw_set(endpoint.user, endpoint.password)
    client.on_connect = lambda one, *_: one.subscribe(topics.replies(tenant, sender), 1)
    client.on_subscribe = lambda *_: ready.put(None)
    client.on_message = lambda _client, _data, message: heard.put(bytes(message.payload))
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    try:
        deadline = time.monotonic() + ANSWER
        ready.get(timeout=ANSWER)
        message = encode(request, Header(sender, now // _NANOSECONDS, 1, 1, now))
        client.publish(topics.requests(tenant, device), message, qos=1)
        while True:
            reply = _reply(heard.get(timeout=max(0.0, deadline - time.monotonic())))
            if reply is not None and reply.id == request.id:
                return reply
    except queue.Empty:
        return None
    finally:
        client.disconnect()
        client.loop_stop()


def _reply(payload: bytes) -> Reply | None:
    try:
        _, record = decode(payload)
    except WireError:
        return None
    return record if isinstance(record, Reply) else None
