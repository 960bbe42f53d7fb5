"""
A person's line to switches: hears what they say on the grid broker, gives them orders, and has them confirm a lease.

Where it stands: ``tresma network operate`` holds one while it works. An order that is not confirmed may still be
carried out until it expires; `outlive` waits for that.
"""

import queue
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from algorithms.api.errors import WireError
from algorithms.api.records import Command, Result
from algorithms.api.switching import (
    CLAIM,
    REPORTED_AHEAD,
    Order,
    Outcome,
    SwitchReport,
    is_believable,
    read_report,
)
from algorithms.api.wire import Header, decode, encode
from device_catalog.contract import topics
from device_catalog.contract.network_leases import LeaseGrant
from device_catalog.operator.errors import OperatorError
from device_catalog.operator.output import note
from device_catalog.operator.settings import Trust
from device_catalog.operator.subscriber import Endpoint

QUIET = 0.2
"""What the broker kept comes without longer pauses than this [s]."""
CLAIMING = 5.0
"""How long switches may take to confirm a lease, at which none of them moves [s]."""
_NANOSECONDS = 1_000_000_000
Sign = Callable[[Command], Command]


class SwitchLine:
    """
    A connection to the grid broker.

    Parameters
    ----------
    endpoint : Endpoint
    trust : Trust
        Whom to believe, and what to show.
    tenant : str
    names : list of str
        Switches to be heard.
    sign : callable, optional
        Signs an order; needed where the DSO's policy is in force.

    Attributes
    ----------
    reports : dict
        What each said last.
    until : float
        The last order lives until then by the steady clock [s]; 0 where none does.
    """

    def __init__(
        self, endpoint: Endpoint, trust: Trust, tenant: str, names: list[str], sign: Sign | None = None
    ) -> None:
        self.reports: dict[str, SwitchReport] = {}
        self.until = 0.0
        self._names, self._sign = names, sign
        self._tenant, self._endpoint = tenant, endpoint
        self._boot = time.time_ns() // _NANOSECONDS
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        if endpoint.tls:
            self._client.tls_set_context(trust.context())
        if endpoint.user:
            self._client.username_pw_set(endpoint.user, endpoint.password)
        wanted = [(topics.switch_state(tenant, name), 1) for name in names]
        self._client.on_connect = lambda client, *_: client.subscribe(wanted)
        self._client.on_message = lambda _client, _data, message: self._heard.put(bytes(message.payload))

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._endpoint.host, self._endpoint.port)
        except OSError as error:
            raise OperatorError(f"{self._endpoint} cannot be reached: {error.strerror or error}") from error
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def listen(self, seconds: float) -> None:
        """Take what the broker kept of all switches: until nothing more comes for a moment, but no longer than this."""
        deadline = time.monotonic() + seconds
        while set(self._names) - set(self.reports) and (left := deadline - time.monotonic()) > 0:
            try:
                self._take(self._heard.get(timeout=min(left, QUIET)))
            except queue.Empty:
                if self.reports:
                    return

    def claim(self, grant: LeaseGrant, names: Iterable[str]) -> None:
        """
        Have every switch that is heard confirm a lease: from then on none obeys whoever had the network before.

        Raises
        ------
        OperatorError
            When one refuses it, or one of `names` does not confirm it.
        """
        heard = sorted(name for name, report in self.reports.items() if report.network == grant.network)
        given = {name: self.order(grant, name, CLAIM, 1, "", CLAIMING).id for name in heard}
        deadline = time.monotonic() + CLAIMING
        missing = []
        for name, command in given.items():

            def answers(report: SwitchReport, command: str = command) -> bool:
                return report.command == command and report.outcome in (Outcome.DONE, Outcome.REFUSED)

            report = self.wait_for(name, answers, deadline - time.monotonic())
            if report is None:
                missing.append(name)
            elif report.outcome is Outcome.REFUSED:
                raise OperatorError(f"{name} refused the lease: {report.reason}; nothing was ordered")
        self.until = 0.0  # none of these moves anything
        if moved := sorted(set(missing) & set(names)):
            raise OperatorError(
                f"{', '.join(moved)} did not confirm the lease within {CLAIMING:g} s: nothing was ordered"
            )
        if missing:
            note(f"not confirmed, perhaps still moved by others: {', '.join(missing)}")

    def largest_token(self, network: str) -> int:
        """Give the largest token that a switch of the network says it obeys, of those somebody can have been given."""
        tokens = [report.token for report in self.reports.values() if report.network == network]
        now = time.time_ns()
        return max((token for token in tokens if is_believable(token, now, REPORTED_AHEAD)), default=1)

    def wait_for(self, name: str, fits: Callable[[SwitchReport], bool], seconds: float) -> SwitchReport | None:
        """Wait until a switch says something that fits; None where it does not."""
        deadline = time.monotonic() + seconds
        while (report := self.reports.get(name)) is None or not fits(report):
            try:
                self._take(self._heard.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                return None
        return report

    def order(  # noqa: PLR0917 - the parts of an order
        self, grant: LeaseGrant, switch: str, verb: str, number: int, tag: str, life: float
    ) -> Command:
        """Publish an order."""
        now, self.until = time.time_ns(), time.monotonic() + life
        arguments = msgspec.to_builtins(Order(grant.network, grant.token, number, tag))
        expires = now + round(life * _NANOSECONDS)
        command = Command(f"{grant.holder}-{grant.token}-{number}", switch, verb, now, expires, arguments)
        if self._sign is not None:
            command = self._sign(command)
        payload = encode(command, Header(grant.holder, self._boot, 1, number, now))
        self._client.publish(topics.switch_command(self._tenant, switch), payload, qos=1)
        return command

    def outlive(self) -> None:
        """Wait until the last order cannot be carried out any more: before that the network must not be given back."""
        left = self.until - time.monotonic()
        if left > 0:
            note(f"waiting {left:.0f} s for the last order to expire")
            time.sleep(left)

    def _take(self, payload: bytes) -> None:
        with suppress(WireError):
            _, record = decode(payload)
            report = read_report(record) if isinstance(record, Result) else None
            if report is not None and isinstance(record, Result):
                self.reports[record.terminal] = report
