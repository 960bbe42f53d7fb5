"""
Sending again what a receiver missed.

A receiver that finds a gap publishes a `Request` with the subject ``replay`` and the arguments ``broker``, ``boot``,
``first``, ``last`` to the device's requests topic. The messages that are still kept are published again, unchanged,
where they were published first; everybody tells them by (device, boot, number). The `Reply` says how many those are
and from which number on nothing is missing of what is kept in memory, so that the rest is known to be gone.
"""

import time
from collections.abc import Callable
from typing import Any

from agent.delivery.messages import Message
from agent.delivery.outbox import Outbox
from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Reply, Request
from device_catalog.contract import topics
from device_catalog.contract.topics import BROKERS, BrokerName

SUBJECT = "replay"
MOST = 10_000
"""Numbers that one request may span."""


class Replay:
    """
    Answers requests for messages that were sent before.

    Parameters
    ----------
    outbox : Outbox
    device, tenant : str
    utc_ns : callable
        [ns UTC]
    """

    def __init__(self, outbox: Outbox, device: str, tenant: str, utc_ns: Callable[[], int] = time.time_ns) -> None:
        self._outbox, self._device, self._tenant, self._utc_ns = outbox, device, tenant, utc_ns
        self._busy = False

    def answer(self, request: Request) -> None:
        """Publish again what is asked for, and say what that was."""
        if request.expires_ns < self._utc_ns():
            return
        problems = _problems(request.arguments)
        if self._busy:
            problems.append(Problem("request", "one replay at a time", "another under way", "ask again in a second"))
        if problems:
            self._reply(request, {}, tuple(problems))
            return
        broker: BrokerName = request.arguments["broker"]
        boot, first, last = (request.arguments[name] for name in ("boot", "first", "last"))
        self._busy = True

        def found(messages: list[Message]) -> None:
            self._busy = False
            accepted = self._outbox.repeat(broker, messages)
            kept_from = self._outbox.kept_from(broker)
            payload = {
                "broker": broker,
                "boot": boot,
                "sent": accepted,
                "first": messages[0].number if accepted else None,
                "last": messages[accepted - 1].number if accepted else None,
                "kept_from": {"boot": kept_from[0], "number": kept_from[1]} if kept_from is not None else None,
            }
            self._reply(request, payload, ())

        self._outbox.find(broker, boot, first, last, found)

    def _reply(self, request: Request, payload: dict[str, Any], problems: tuple[Problem, ...]) -> None:
        if not topics.is_identifier(request.sender):
            return  # nowhere to answer to
        reply = Reply(request.id, self._device, request.sender, self._utc_ns(), payload, problems)
        self._outbox.put("grid", topics.replies(self._tenant, request.sender), reply)


def _problems(arguments: dict[str, Any]) -> list[Problem]:
    """Find everything wrong with what is asked for."""
    problems = []
    if arguments.get("broker") not in BROKERS:
        problems.append(Problem("arguments.broker", " or ".join(BROKERS), shortened(arguments.get("broker"))))
    for name in ("boot", "first", "last"):
        value = arguments.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**62:
            problems.append(Problem(f"arguments.{name}", "a number above 0", shortened(value)))
    if not problems and not 0 <= arguments["last"] - arguments["first"] < MOST:
        found = f"{arguments['first']} to {arguments['last']}"
        problems.append(Problem("arguments", f"first <= last, at most {MOST} numbers", found, "ask in parts"))
    return problems
