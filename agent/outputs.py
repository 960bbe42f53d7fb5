"""
Where measurements go besides the brokers: the outputs that are configured, each apart from all else.

Where it stands: the service applies a configuration to it; the router hands over what algorithms make, before any of
it is thinned. An output that cannot be had (an address that is not there yet) is tried again and told among the
agent's problems: it never refuses a configuration, and what it does never reaches the rest of the agent.
"""

import asyncio
import logging
from collections.abc import Sequence

from agent.c37118.server import Server
from agent.c37118.stream import Stream
from algorithms.api.records import MeasurementFrame, Record
from device_catalog.contract.documents import Configuration, SynchrophasorStream

log = logging.getLogger(__name__)

RETRY = 10.0
"""An address that cannot be had is tried again after this [s]."""


class Outputs:
    """
    The outputs of one agent.

    Parameters
    ----------
    device : str
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._wanted: tuple[SynchrophasorStream, float] | None = None
        self._server: Server | None = None
        self._trying: asyncio.Task[None] | None = None
        self._problem = ""

    async def configure(self, configuration: Configuration) -> None:
        """Do what a configuration says; what it leaves as it was goes on undisturbed."""
        settings = configuration.outputs.c37_118
        acquisition = configuration.acquisition
        nominal = acquisition.nominal_frequency if acquisition is not None else 50.0
        wanted = None if settings is None else (settings, nominal)
        if wanted == self._wanted:
            return
        await self.close()
        self._wanted = wanted
        if wanted is not None:
            await self._start(*wanted)
            if self._server is None:
                self._trying = asyncio.get_running_loop().create_task(self._try(*wanted), name="outputs")

    def take(self, maker: str, records: Sequence[Record]) -> None:
        """Hand over what the algorithm `maker` made."""
        server = self._server
        if server is None or server.settings.algorithm != maker:
            return
        for record in records:
            if isinstance(record, MeasurementFrame):
                try:
                    server.take(record)
                except (ValueError, OverflowError) as error:  # what a plug-in put into a record
                    self._say(f"a record is not sent as C37.118: {error}")

    def problems(self) -> list[str]:
        """Say what keeps an output from working."""
        return [self._problem] if self._problem else []

    async def close(self) -> None:
        """Let go of everything."""
        trying, self._trying = self._trying, None
        if trying is not None:
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
        server, self._server = self._server, None
        self._wanted = None
        self._problem = ""
        if server is not None:
            await server.close()

    async def _start(self, settings: SynchrophasorStream, nominal: float) -> None:
        stream = Stream(
            settings.id_code,
            settings.station or self._device,
            nominal,
            polar=settings.polar,
            fixed_frequency=settings.fixed_frequency,
        )
        server = Server(settings, stream)
        try:
            await server.start()
        except OSError as error:
            where = f"{settings.address}, TCP {settings.port or 'off'}, UDP {settings.udp_port or 'off'}"
            self._say(f"the C37.118 output cannot be bound to {where}: {error.strerror or error}")
            return
        self._server = server
        self._problem = ""
        log.info("C37.118 frames can be had at %s", settings.address)

    async def _try(self, settings: SynchrophasorStream, nominal: float) -> None:
        while self._server is None:
            await asyncio.sleep(RETRY)
            await self._start(settings, nominal)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("%s", problem)
