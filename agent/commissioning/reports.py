"""
Reports of commissionings on their way: made, signed, kept on the disk, handed to the catalog, remembered.

Where it stands: owned by `service`, asked by `desk`. What the page observed is completed with what the agent itself
knows (`Facts`), signed by a short-lived process (`signing`), and durable before anything is sent. A catalog that is
away is asked again, ever later, also after a restart; the same record is the same there, however often it comes. The
newest report replaces one that is still waiting.
"""

import asyncio
import logging
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from agent.allowance import Allowance
from agent.catalog import CatalogClient
from agent.clock import Clock
from agent.commissioning.messages import Handed, Observed
from agent.commissioning.signing import Order, Outcome
from agent.config import AgentConfig
from agent.errors import CatalogError
from agent.files import write_durably
from agent.processes.asking import ask_process
from agent.request_thread import RequestThread
from algorithms.api.errors import shortened
from algorithms.api.wire import time_text
from device_catalog.contract.commissioning import (
    COMMISSIONINGS,
    MAXIMUM_RECORD,
    CommissioningRecord,
    Kept,
    SignedRecord,
    problems_of,
)

log = logging.getLogger(__name__)

FILE = "commissioning.json"
MAXIMUM_FILE = 512 * 1024
"""Longest file read back [bytes]."""

REPORTS = 4
"""Signed within a minute: each is a process, and written to the card."""

TIMEOUT = 30.0
"""How long signing may take [s]."""

FIRST_WAIT = 2.0
LONGEST_WAIT = 300.0
"""Waits after a failure [s]."""

_FINAL = (400, 409, 413, 422)
"""Answers that will not be others the next time."""


class Facts(msgspec.Struct, frozen=True):
    """What the agent knows itself, for a record; see `CommissioningRecord`."""

    terminal: str
    synchronised: bool
    time_uncertainty: float | None
    nominal_voltage: float
    nominal_frequency: float
    source: str
    channels: tuple[str, ...]
    software: dict[str, str]
    applied_revision: int
    boot: int


class _File(msgspec.Struct, frozen=True):
    handed: Handed
    signed: SignedRecord


class ReportClient(CatalogClient):
    """The part of the catalog's interface that is about commissionings; its call blocks."""

    def hand_in(self, signed: SignedRecord) -> Kept:
        """
        Hand in a signed record.

        Raises
        ------
        CatalogError
        """
        headers = {"Content-Type": "application/json"}
        path = COMMISSIONINGS.format(device=self._device)
        _, answer, _ = self._exchange("POST", path, headers=headers, body=msgspec.json.encode(signed))
        try:
            return msgspec.json.decode(answer, type=Kept)
        except msgspec.DecodeError as error:
            raise CatalogError(f"expected the catalog to say what it kept, found: {error}") from error


class Reports:
    """
    Makes reports, and hands them in.

    Parameters
    ----------
    config : AgentConfig
    clock : Clock
    facts : callable
        Says what the agent knows.
    """

    def __init__(self, config: AgentConfig, clock: Clock, facts: Callable[[], Facts]) -> None:
        self._config = config
        self._clock = clock
        self._facts = facts
        self._path = config.state_dir / FILE
        self._task: asyncio.Task[None] | None = None
        self._making = asyncio.Lock()
        self._allowance = Allowance(REPORTS)
        self._signed: SignedRecord | None = None
        self._chance = random.Random()
        self.handed = Handed()

    def load(self) -> None:
        """Remember what was handed in before, and go on with what waits."""
        with suppress(FileNotFoundError):
            try:
                with self._path.open("rb") as file:
                    kept = msgspec.json.decode(file.read(MAXIMUM_FILE), type=_File)
            except (OSError, msgspec.DecodeError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                log.error("%s cannot be read, and is left out: %s", self._path, error)
                return
            self.handed, self._signed = kept.handed, kept.signed
            self._go_on()

    def make(self, observed: Observed) -> "asyncio.Task[str]":
        """Make, sign and keep a report, and begin to hand it in; the result says why not, or nothing."""
        return asyncio.get_running_loop().create_task(self._make(observed), name="commissioning report")

    async def close(self) -> None:
        """End; what waits is handed in by the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _make(self, observed: Observed) -> str:
        if self._making.locked() or not self._allowance.take():
            return "another report was just signed; wait a minute"
        async with self._making:
            record = self._record(observed)
            problems = problems_of(record, self._config.device)
            if problems:
                return "; ".join(str(problem) for problem in problems[:3])
            text = msgspec.json.encode(record).decode()
            if len(text.encode()) > MAXIMUM_RECORD:
                return f"expected a report of at most {MAXIMUM_RECORD} bytes, found more"
            outcome = await asyncio.to_thread(_signed, Order(str(self._config.state_dir), text))
            if outcome.problem:
                return outcome.problem
            handed = Handed("waiting", record.made, record.answer.value)
            signed = SignedRecord(text, outcome.signature, outcome.certificate)
            try:
                await asyncio.to_thread(self._keep, handed, signed)
            except OSError as error:
                return f"expected a disk that can be written, found: {error.strerror or error}"
            self.handed, self._signed = handed, signed
            self._go_on()
        return ""

    def _record(self, observed: Observed) -> CommissioningRecord:
        facts = self._facts()
        return CommissioningRecord(
            self._config.device,
            **{name: getattr(facts, name) for name in facts.__struct_fields__},
            **{name: getattr(observed, name) for name in observed.__struct_fields__},
            made=time_text(self._clock.now_ns()),
        )

    def _keep(self, handed: Handed, signed: SignedRecord) -> None:
        write_durably(self._path, msgspec.json.encode(_File(handed, signed)))

    def _go_on(self) -> None:
        if self.handed.state == "waiting" and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._hand_in(), name="hand in commissioning")

    async def _hand_in(self) -> None:
        client, requests = ReportClient(self._config), RequestThread("commissioning")
        failures = 0
        try:
            while self.handed.state == "waiting" and self._signed is not None:
                signed = self._signed
                try:
                    kept = await requests.run(partial(client.hand_in, signed))
                except CatalogError as error:
                    if error.status in _FINAL:
                        self._settle(signed, "refused", problem=shortened(str(error), 300))
                        continue
                    failures += 1
                    if failures in (1, 10) or failures % 100 == 0:
                        log.warning("the commissioning report waits for the catalog: %s", error)
                    if self._signed is signed:
                        self.handed = msgspec.structs.replace(self.handed, problem=shortened(str(error), 300))
                    wait = min(FIRST_WAIT * 2.0 ** min(failures - 1, 20), LONGEST_WAIT)
                    await asyncio.sleep(max(wait * (0.5 + self._chance.random() / 2), error.retry_after or 0.0))
                else:
                    self._settle(signed, "accepted", number=kept.number)
        finally:
            requests.close()
            client.close()

    def _settle(self, signed: SignedRecord, state: str, *, number: int = 0, problem: str = "") -> None:
        """Remember what became of a report, unless another one has taken its place."""
        if self._signed is not signed:
            return
        self.handed = msgspec.structs.replace(self.handed, state=state, number=number, problem=problem)
        log.info("the commissioning report is %s%s", state, f": {problem}" if problem else f" as number {number}")
        try:
            self._keep(self.handed, signed)
        except OSError as error:  # said again by the next start: the catalog knows that it is the same
            log.error("what became of the commissioning report cannot be kept: %s", error.strerror or error)


def _signed(order: Order) -> Outcome:
    try:
        done = ask_process("agent.commissioning.signing", order, TIMEOUT)
        return msgspec.json.decode(done.stdout, type=Outcome)
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"signing took longer than {TIMEOUT:g} s")
    except (OSError, msgspec.DecodeError):
        return Outcome(problem="the process that signs ended without an answer")
