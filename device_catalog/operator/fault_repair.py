"""
Telling whoever handled a fault that it is repaired: an order to the reconfigurator, by way of the grid broker.

Where it stands: ``tresma faults repaired`` keeps the word with the fault first, in the catalog, and then calls here.
The order makes the reconfigurator forget the case and moves no switch. It may be given again: it changes nothing then.
"""

import argparse
import secrets
import time
from pathlib import Path

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from algorithms.api.records import Command
from algorithms.api.switching import OPEN, is_case_name
from algorithms.api.wire import NANOSECONDS, Header, encode
from device_catalog.contract import topics
from device_catalog.contract.faults import REPAIRED, RESTORATION, FaultDetail, FaultNews, names_of
from device_catalog.operator.catalog import Catalog
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.fault_story import sort_of
from device_catalog.operator.grid_broker import grid_broker
from device_catalog.operator.passphrases import commander
from device_catalog.operator.settings import Settings, Trust
from device_catalog.operator.subscriber import Endpoint

LIFE = 30.0
"""How long the order is valid [s]."""
PATIENCE = 10.0
"""How long the broker may take to confirm it [s]."""
MOST = 32
"""Orders for one fault."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``faults repaired``."""
    parser.add_argument("--note", metavar="TEXT", default="", help="kept with the fault, such as what was found")
    parser.add_argument("--undo", action="store_true", help="it is not repaired after all; nobody is told")
    parser.add_argument("--grid", metavar="URL", help="grid broker, mqtt://host:port; asked of the catalog otherwise")
    parser.add_argument("--tenant", metavar="NAME", help="of the network; asked of the catalog otherwise")
    parser.add_argument("--key", type=Path, metavar="KEY", help="sign the order by this key, which the policy names")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="otherwise it is asked for")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def ask(detail: FaultDetail) -> None:
    """
    Have a person confirm it.

    Raises
    ------
    OperatorError
        When it is not.
    """
    summary = detail.summary
    try:
        answer = input(f"{summary.id}: {sort_of(summary)} on {summary.branch or summary.terminal}, repaired? [y/N] ")
    except EOFError as error:
        raise UsageError("expected an answer, found no terminal; give --yes") from error
    if answer.strip().lower() not in ("y", "yes"):
        raise OperatorError("nothing was said of it")


def handlers_of(detail: FaultDetail) -> list[tuple[str, str]]:
    """Name the devices that handled a fault, each with the name by which it knows it."""
    found: dict[tuple[str, str], None] = {}
    for word in detail.news:
        if word.kind == RESTORATION and topics.is_identifier(word.device):
            found |= {(word.device, case): None for case in _own_cases(detail, word)}
    return list(found)[:MOST]


def _own_cases(detail: FaultDetail, word: FaultNews) -> list[str]:
    """Give the cases of a restoration that are this fault; all where it names them in a way that is not known."""
    cases, also = word.evidence.get("cases"), word.evidence.get("also")
    named = [case for case in (cases if isinstance(cases, list) else ()) if isinstance(case, str) and case]
    if not any(is_case_name(case) for case in named):
        return named
    own = names_of(detail.summary.terminal, detail.news)
    first = {also[name] for name in own & set(also) if isinstance(also[name], str)} if isinstance(also, dict) else set()
    return [case for case in named if case in own | first]


def locked_for(detail: FaultDetail) -> list[str]:
    """Name the switches that were opened for a fault and not closed since, as far as was told."""
    stands: dict[str, str] = {}
    for word in detail.news:
        steps = word.evidence.get("steps") if word.kind == RESTORATION else None
        own = set(_own_cases(detail, word))
        for step in steps if isinstance(steps, list) else ():
            if not isinstance(step, dict) or not isinstance(step.get("switch"), str):
                continue
            cases = step.get("cases")
            if step.get("verb") != OPEN or not isinstance(cases, list) or any(case in own for case in cases):
                stands[step["switch"]] = str(step.get("verb"))
    return [name for name, verb in stands.items() if verb == "open"]


def tell(detail: FaultDetail, catalog: Catalog, options: argparse.Namespace, settings: Settings) -> None:
    """
    Tell whoever handled a fault that it is repaired.

    Raises
    ------
    OperatorError
        When the broker did not take it; what was said of the fault is kept all the same.
    """
    sign = commander(options) if options.key is not None else None
    name, now = f"operator-{secrets.token_hex(4)}", time.time_ns()
    orders = []
    for number, (device, case) in enumerate(handlers_of(detail), start=1):
        order = Command(f"{name}-{number}", device, REPAIRED, now, now + round(LIFE * NANOSECONDS), {"case": case})
        payload = encode(sign(order) if sign else order, Header(name, now // NANOSECONDS, 1, number, now))
        orders.append((device, payload))
    endpoint, tenant = grid_broker(detail.summary.network, catalog, settings, options.tenant or "")
    try:
        _publish(endpoint, settings.trust, [(topics.commands(tenant, device), payload) for device, payload in orders])
    except (OSError, ValueError, RuntimeError) as error:
        devices = ", ".join(dict.fromkeys(device for device, _ in orders))
        raise OperatorError(
            f"it is kept that {detail.summary.id} is repaired, but {devices} could not be told by {endpoint}: {error}; "
            "say it again"
        ) from error


def _publish(endpoint: Endpoint, trust: Trust, messages: list[tuple[str, bytes]]) -> None:
    """Publish, and wait until the broker has taken it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    if endpoint.tls:
        client.tls_set_context(trust.context())
    if endpoint.user:
        client.username_pw_set(endpoint.user, endpoint.password)
    client.connect(endpoint.host, endpoint.port)
    client.loop_start()
    try:
        deadline = time.monotonic() + PATIENCE
        for sent in [client.publish(topic, payload, qos=1) for topic, payload in messages]:
            sent.wait_for_publish(max(deadline - time.monotonic(), 0.1))
            if not sent.is_published():
                raise TimeoutError(f"no confirmation within {PATIENCE:g} s")
    finally:
        client.disconnect()
        client.loop_stop()
