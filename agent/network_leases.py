"""
The right to switch a network: asked of the catalog for this agent's own algorithms, and checked before an order leaves.

Where it stands: the service hands over requests with the subject ``lease`` that an algorithm makes to its own device,
and the gate (`command_gate`) shows it every command on its way to a switch. An algorithm proposes; without a lease that
runs, nothing is sent.

Rules:

- A lease is counted from before it was asked for, by the steady clock: this side lets it end first.
- What an algorithm holds is given back when the agent ends, as far as the catalog can be reached within a moment.
- A lease that the catalog does not renew, since it was taken away, ends at once, and its algorithm is told.
- Requests wait in a thread of their own, one after the other; more than a few at a time are refused.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from agent.catalog import CatalogClient
from agent.clock import Clock
from agent.errors import CatalogError
from agent.request_thread import Requests, RequestThread
from algorithms.api.errors import Problem, shortened
from algorithms.api.records import Command, Reply, Request
from device_catalog.contract.network_leases import LONGEST, LeaseRequest, SwitchNewsDocument
from device_catalog.contract.topics import is_identifier

log = logging.getLogger(__name__)

SUBJECT = "lease"
LARGEST = 2**62
"""Tokens are smaller."""
MOST = 8
"""Requests under way at most."""
FAREWELL = 1.0
"""What is held is given back at the end within this [s]."""


@dataclass(frozen=True, slots=True)
class _Held:
    token: int
    until: float


class LeaseDesk:
    """
    The leases of one agent.

    Parameters
    ----------
    device : str
    catalog : CatalogClient
        Of its own, since requests block.
    clock : Clock
    answer : callable
        Takes replies to the algorithms that asked.
    requests : Requests, optional
    """

    def __init__(
        self,
        device: str,
        catalog: CatalogClient,
        clock: Clock,
        answer: Callable[[Reply], None],
        requests: Requests | None = None,
    ) -> None:
        self._device, self._catalog, self._clock, self._answer = device, catalog, clock, answer
        self._requests = requests or RequestThread("leases")
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: Request) -> None:
        """Take an algorithm's request; the reply comes later."""
        network = request.arguments.get("network")
        if not isinstance(network, str) or not is_identifier(network):
            self._refuse(request, Problem("network", "the id of a network", shortened(network)))
        elif len(self._tasks) >= MOST:
            self._refuse(request, Problem("lease", f"at most {MOST} requests at a time", "more"))
        else:
            if "states" in request.arguments:
                work = self._tell(network, request.arguments["states"])
            elif request.arguments.get("release") is True:
                work = self._release(network)
            else:
                work = self._acquire(network, request)
            task = asyncio.get_running_loop().create_task(work, name="lease")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def objection(self, command: Command) -> str:
        """Say why an order to a switch must not be sent; nothing where it may."""
        network, token = command.arguments.get("network"), command.arguments.get("token")
        held = self._held.get(network) if isinstance(network, str) else None
        if held is None or held.until <= self._clock.monotonic():
            return f"a lease of {shortened(network)} that runs expected, found none"
        if token != held.token:
            return f"the token {held.token} expected, found {shortened(token)}"
        return ""

    async def close(self) -> None:
        """Give back what is held."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                for network in tuple(self._held):
                    await self._release(network)
        self._requests.close()
        self._catalog.close()

    async def _acquire(self, network: str, request: Request) -> None:
        seconds = request.arguments.get("seconds")
        wanted = min(max(float(seconds), 1.0), LONGEST) if isinstance(seconds, int | float) else 60.0
        held = self._held.get(network)
        asked = self._clock.monotonic()
        renewing = held is not None and held.until > asked and request.arguments.get("token") == held.token
        token = held.token if renewing and held is not None else 0
        said = request.arguments.get("seen")
        seen = said if isinstance(said, int) and 0 <= said < LARGEST else 0
        try:
            grant = await self._requests.run(
                lambda: self._catalog.lease(network, LeaseRequest(self._device, wanted, token, seen))
            )
        except CatalogError as error:
            if 400 <= error.status < 500:  # it said no: what was held is not any more
                self._held.pop(network, None)
            problem = Problem("lease", f"the right to switch {network}", shortened(str(error), 300))
            self._refuse(request, problem, held=network in self._held)
            return
        self._held[network] = _Held(grant.token, asked + grant.seconds)
        if not renewing:
            log.info("this agent may switch %s for %g s, token %d", network, grant.seconds, grant.token)
        now_ns = self._clock.now_ns()
        self._answer(
            Reply(
                request.id,
                self._device,
                request.sender,
                now_ns,
                {"token": grant.token, "seconds": max(0.0, asked + grant.seconds - self._clock.monotonic())},
            )
        )

    async def _tell(self, network: str, states: object) -> None:
        """Say where switches stand; the catalog makes it the topology."""
        held = self._held.get(network)
        if held is None:
            return
        try:
            news = msgspec.convert({"holder": self._device, "token": held.token, "states": states}, SwitchNewsDocument)
            await self._requests.run(lambda: self._catalog.tell_switches(network, news))
        except (CatalogError, msgspec.ValidationError) as error:
            log.warning("where the switches of %s stand could not be told: %s", network, error)

    async def _release(self, network: str) -> None:
        held = self._held.pop(network, None)
        if held is None:
            return
        try:
            await self._requests.run(lambda: self._catalog.give_back(network, held.token))
        except CatalogError as error:
            log.warning("the lease of %s ends by itself, giving it back failed: %s", network, error)

    def _refuse(self, request: Request, problem: Problem, *, held: bool | None = None) -> None:
        """Answer what is wrong, and whether what was held is still, where that is known."""
        payload = {} if held is None else {"held": held}
        self._answer(Reply(request.id, self._device, request.sender, self._clock.now_ns(), payload, (problem,)))
