"""
How everything is, looked at once a second while somebody looks: the agent asked, the samples read, all of it judged.

Where it stands: between `agent_link` and `sampled` on one side and `site` on the other. While nobody looks, the agent
is asked now and then only, for the page must notice that its commissioning is over.
"""

import asyncio
import logging
import os
import time
from pathlib import Path

import msgspec

from agent.commissioning.agent_link import AgentLink
from agent.commissioning.diagnosis import judge
from agent.commissioning.messages import AgentState, HandIn, Look, Observed, Taken
from agent.commissioning.page import View
from agent.commissioning.sampled import Samples
from agent.commissioning.state import PageState
from agent.commissioning.verdicts import Provisioned, put_together
from algorithms.api.records import MeasurementFrame
from algorithms.api.wire import time_from_text
from device_catalog.contract.commissioning import Answer

log = logging.getLogger(__name__)

PERIOD = 1.0
IDLE_PERIOD = 10.0
ATTENTION = 15.0
"""How often all is looked at, how often while nobody looks, and after what time nobody does [s]."""

SIGNING = 45.0
"""How long the agent may take to sign and keep a report [s]."""

LINGER = 30.0
"""How long a page that is over still says so [s]."""

MAXIMUM_STATUS = 64 * 1024
_NANOSECONDS = 1e9


class Watching:
    """
    Looks, judges, hands in.

    Parameters
    ----------
    link : AgentLink
    state : PageState
    provisioning : pathlib.Path
        What set the meter up says there how far it is.
    """

    def __init__(self, link: AgentLink, state: PageState, provisioning: Path) -> None:
        self._link = link
        self._state = state
        self._provisioning = provisioning
        self._samples = Samples()
        self._agent: AgentState | None = None
        self._looked = 0.0
        self._awake = asyncio.Event()
        self._over_since: float | None = None
        self.view = View("", put_together([], None, self._provisioned()))

    @property
    def is_over(self) -> bool:
        """Whether the catalog has a report of this commissioning."""
        return self._over_since is not None

    @property
    def is_finished(self) -> bool:
        """Whether everybody who looks has been told so."""
        return self._over_since is not None and time.monotonic() - self._over_since > LINGER

    def wanted(self) -> None:
        """Note that somebody looks."""
        if time.monotonic() - self._looked > ATTENTION:
            self._awake.set()
        self._looked = time.monotonic()

    async def hold(self) -> None:
        """Look for ever, until the commissioning is over and that was told."""
        try:
            while not self.is_finished:
                await self._look()
                watched = time.monotonic() - self._looked < ATTENTION
                try:
                    async with asyncio.timeout(PERIOD if watched or self.is_over else IDLE_PERIOD):
                        await self._awake.wait()
                except TimeoutError:
                    continue
                self._awake.clear()
        finally:
            self._samples.close()
            self._link.close()

    async def hand_in(self, installer: str, place: str, note: str) -> str:
        """Have the agent sign and hand in what is seen now; return why that was not possible, or nothing."""
        view, frame = self.view, self.view.frame
        told = Observed(installer, place, note, view.judgement.answer, view.judgement.lines())
        if frame is not None:
            told = msgspec.structs.replace(
                told,
                frequency=frame.frequency,
                voltage=frame.voltage,
                current=frame.current,
                power=frame.power,
                window=frame.window,
            )
        answer = await self._link.ask(HandIn(told), SIGNING)
        if answer is None:
            return "the meter's agent does not answer"
        reply = answer[0]
        await self._look()
        return reply.problem if isinstance(reply, Taken) else "the meter's agent answered something else"

    async def _look(self) -> None:
        answer = await self._link.ask(Look(ring=True))
        state, fds = answer if answer is not None else (None, [])
        self._agent = state if isinstance(state, AgentState) else None
        if self._agent is None:
            self._samples.close()
            for fd in fds:
                os.close(fd)
        elif fds:
            self._samples.attach(fds[0], self._agent.settings)
        self.view = self._seen(self._agent)
        self._notice_the_end()

    def _seen(self, agent: AgentState | None) -> View:
        seen = self._samples.look()
        wiring = judge(seen) if seen is not None else []
        missing = seen.missing if seen is not None else 0.0
        judgement = put_together(wiring, agent, self._provisioned(), missing=missing)
        if agent is None:
            return View("", judgement)
        frame: MeasurementFrame | None = seen.frame if seen is not None else None
        return View(agent.device, judgement, frame, *self._samples.waveforms(), agent.handed)

    def _notice_the_end(self) -> None:
        handed = self._agent.handed if self._agent is not None else None
        if handed is None or handed.state != "accepted" or handed.answer == Answer.FAILED.value:
            return
        made = time_from_text(handed.made) / _NANOSECONDS
        reopened = max(self._state.reopened, self._agent.reopened if self._agent is not None else 0.0)
        if made <= reopened:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = time.monotonic()
            try:
                self._state.close(made)
            except OSError as error:  # then the next start finds out from the agent
                log.error("that the commissioning is over cannot be kept: %s", error.strerror or error)

    def _provisioned(self) -> Provisioned | None:
        try:
            with self._provisioning.open("rb") as file:
                return msgspec.json.decode(file.read(MAXIMUM_STATUS), type=Provisioned)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError):
            return Provisioned(
                "failed", "What set this meter up left a status that cannot be read", "switch off and on"
            )
