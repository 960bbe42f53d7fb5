"""
The right to switch a network, as the reconfigurator has it: asked for, claimed at every switch, renewed, given back.

Where it stands: the reconfiguration plug-in tells it whether the right is wanted and brings replies and reports; what
has to be sent comes back. `fault_handling` and `loss_watch` see the lease only once it is claimed. Pure.

Rules:

- Under a new token nothing moves before every switch that is heard has confirmed it: from then on none of them obeys
  whoever had the right before, whatever clocks say. One that does not confirm is not counted on.
- A switch that obeys a larger token says that somebody else was given the right since: it ends at once, and is asked
  for anew with that token, which the catalog then goes beyond. Tokens that nobody can have been given are not believed.
- Where switches have stood otherwise than the topology has it for a while, and nobody has the right who would say so,
  as after a kill in the middle of a sequence, it is taken for a moment, only to tell. Nothing is claimed for that.
- It is asked for with a `Request` to this device's own agent, which asks the catalog, and counted from the question.
"""

from typing import Any

from algorithms.api.records import Record, Reply, Request
from algorithms.api.switching import REPORTED_AHEAD, SwitchReport, is_believable
from algorithms.api.wire import NANOSECONDS
from algorithms.builtin.switching.switch_board import SwitchBoard
from algorithms.builtin.switching.switching_sequence import Lease, Progress, Stage, SwitchingSequence, claiming

LEASE = "lease"
"""Subject of requests for the right to switch a network."""
LEASE_TIME = 60.0
"""Asked for at a time [s]; renewed at half of it."""
ASKED_AGAIN = 2.0
"""A request for a lease is not repeated before this [s]."""
STEADY = 10.0
"""Switches that the topology does not know of have stood still for so long when they are told [s]."""
TELL_AGAIN, TOLD_AGAIN = 30.0, 600.0
"""So long after it could not be had, and after it was told and the topology has not followed, it is told again [s]."""
REMEMBERED = 64
"""Tokens remembered that were given to this device."""
LOOKED = 1.0
"""How often it is looked for what nobody told [s]."""


class LeaseKeeping:
    """
    The lease of one network.

    Parameters
    ----------
    device : str
        This device, which holds it.
    board : SwitchBoard
    response : float
        A switch confirms within this [s].

    Attributes
    ----------
    lease : Lease or None
        What may be used: it runs, and is claimed.
    refusal : str
        Why there is none.
    asked : int
        Requests made so far.
    tokens : list of int
        Those it was given, the newest last: nobody else gives orders under them.
    """

    def __init__(self, device: str, board: SwitchBoard, response: float) -> None:
        self._device, self._board, self._response = device, board, response
        self._patience = response
        self.lease: Lease | None = None
        self.refusal = ""
        self.asked = 0
        self.tokens: list[int] = []
        self._held: Lease | None = None
        self._claiming: SwitchingSequence | None = None
        self._asking: tuple[str, int] | None = None
        self._again_ns = 0
        self._renewal_ns = 0
        self._seen = 1
        self._look_ns = 0
        self._asked_to_tell_ns: int | None = None
        self._standing: tuple[dict[str, str], int] = {}, 0
        self._told: tuple[dict[str, str], int] = {}, 0

    def keep(self, now_ns: int, *, wanted: bool) -> list[Record]:
        """Ask, claim, renew or give back [ns UTC]."""
        if self._held is not None and self._held.until_ns <= now_ns:
            self._drop()
        if not wanted:
            return self._tell_or_give_back(now_ns)
        given = self._claim(now_ns)
        if (self._held is not None and now_ns < self._renewal_ns) or now_ns < self._again_ns:
            return given
        return [*given, self._ask(now_ns)]

    def _ask(self, now_ns: int) -> Request:
        held = {"token": self._held.token} if self._held is not None else {}
        request = self._request({"seconds": LEASE_TIME, "seen": self._seen, **held}, now_ns)
        self._asking = request.id, now_ns
        self._again_ns = now_ns + round(ASKED_AGAIN * NANOSECONDS)
        return request

    def replied(self, reply: Reply, now_ns: int) -> None:
        """Take what the agent answers."""
        if self._asking is None or reply.id != self._asking[0]:
            return
        asked_ns = self._asking[1]
        token, seconds = reply.payload.get("token"), reply.payload.get("seconds")
        if reply.problems or not isinstance(token, int) or not isinstance(seconds, int | float):
            self.refusal = "; ".join(str(problem) for problem in reply.problems) or "no token"
            if reply.payload.get("held") is False:  # what was held has been taken away
                self._drop()
            return
        self._asking, self.refusal = None, ""
        granted = min(max(seconds, 0.0), LEASE_TIME)
        self._patience = min(self._response, granted / 6)  # the claim must not take as long as the lease
        until_ns = asked_ns + round(granted * NANOSECONDS)
        self._renewal_ns = now_ns + round(max(granted / 2, 1.0) * NANOSECONDS)
        if self._held is not None and self._held.token == token:
            self._held.until_ns = until_ns
        else:
            self._drop()
            self._held = Lease(self._board.model.network, token, until_ns)
            self.tokens[:] = [*self.tokens, token][-REMEMBERED:]

    def hear(self, name: str, report: SwitchReport, now_ns: int) -> None:
        """Take what a switch says of the token it obeys, and whether it confirms this one."""
        if is_believable(report.token, now_ns, REPORTED_AHEAD):
            self._seen = max(self._seen, report.token)
            held = self._held
            if held is not None and report.token > held.token:
                self._drop()
                self.refusal = f"{name} obeys lease {report.token}, given after {held.token}"
        if self._claiming is not None:
            self._claiming.hear(name, report, now_ns)

    def shift(self, by_ns: int) -> None:
        """Move what was timed with a clock that was set."""
        if self._held is not None:
            self._held.until_ns += by_ns
        if self._asking is not None:
            self._asking = self._asking[0], self._asking[1] + by_ns
        if self._claiming is not None:
            self._claiming.shift(by_ns)
        self._again_ns += by_ns
        self._renewal_ns += by_ns
        self._look_ns += by_ns
        self._asked_to_tell_ns = None if self._asked_to_tell_ns is None else self._asked_to_tell_ns + by_ns
        self._standing = self._standing[0], self._standing[1] + by_ns
        self._told = self._told[0], self._told[1] + by_ns

    # ---- inside

    def _claim(self, now_ns: int) -> list[Record]:
        """Let every switch that is heard confirm a new token."""
        if self._held is None or self.lease is self._held:
            return []
        if self._claiming is None:
            wishes = tuple(claiming(name, self._patience) for name in self._board.heard(now_ns))
            self._claiming = SwitchingSequence("claim", self._held, [Stage("claim", wishes)])
        given: list[Record] = list(self._claiming.advance(now_ns))
        if self._claiming.progress is not Progress.RUNNING:
            failed, self._claiming = self._claiming.failed, None
            self._board.bad |= {name: f"did not confirm the claim: {what}" for name, what in failed.items()}
            self.lease = self._held
        return given

    def _drop(self) -> None:
        """Use the lease no more, nor let anybody who has it."""
        if self._held is not None:
            self._held.until_ns = 0
        self._held = self.lease = self._claiming = None

    def _tell_or_give_back(self, now_ns: int) -> list[Record]:
        """Take the right for a moment where something is to be told, or let go of it, telling."""
        if self._held is not None:
            return self._give_back(now_ns)
        asked_ns = self._asked_to_tell_ns
        if asked_ns is not None and now_ns - asked_ns < round(ASKED_AGAIN * NANOSECONDS):
            return []  # the answer may come yet
        if now_ns < self._look_ns:
            return self._give_back(now_ns)
        self._look_ns = now_ns + round(LOOKED * NANOSECONDS)
        tried = asked_ns is not None and now_ns - asked_ns < round(TELL_AGAIN * NANOSECONDS)
        if not self._is_untold(now_ns) or tried:
            return self._give_back(now_ns)
        self._asked_to_tell_ns = now_ns
        return [self._ask(now_ns)]

    def _is_untold(self, now_ns: int) -> bool:
        """Tell whether switches have stood elsewhere than the topology has them for a while, and nobody said so."""
        stand, switches = self._board.reported(), self._board.model.switches
        if stand != self._standing[0]:
            self._standing = stand, now_ns
        told, told_ns = self._told
        if stand == told and now_ns - told_ns < round(TOLD_AGAIN * NANOSECONDS):
            return False
        closed = self._board.closed()
        differ = any(closed[switches.rows[name]] != switches.closed[switches.rows[name]] for name in stand)
        return differ and now_ns - self._standing[1] >= round(STEADY * NANOSECONDS)

    def _give_back(self, now_ns: int) -> list[Record]:
        """Say where switches stand that were moved, and let go of the network."""
        if self._held is None and self._asking is None:
            return []
        told: list[Record] = []
        held = {}
        if self._held is not None:
            stand = self._board.reported()
            told.append(self._request({"states": stand}, now_ns))
            self._told = stand, now_ns
            held = {"token": self._held.token}
            self._board.bad.clear()
        self._drop()
        self._asking, self._again_ns = None, 0
        return [*told, self._request({"release": True, **held}, now_ns)]

    def _request(self, arguments: dict[str, Any], now_ns: int) -> Request:
        self.asked += 1
        return Request(
            id=f"lease-{self.asked}",
            sender=self._device,
            recipient=self._device,
            subject=LEASE,
            time_ns=now_ns,
            expires_ns=now_ns + round(ASKED_AGAIN * NANOSECONDS),
            arguments={"network": self._board.model.network, **arguments},
        )
