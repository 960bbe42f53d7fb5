"""
The installer's check: whether everything is there that this meter needs, and whether it is wired right.

Each part returns findings and never raises for what the world did: a check goes on after a failure, so that one visit
to a street cabinet finds everything. Parts that need what an earlier one did not find say so.
"""

import asyncio
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from agent.calibration import Calibrations
from agent.catalog import CatalogClient
from agent.clock import SystemClock, synchronisation
from agent.commissioning import wiring
from agent.commissioning.wiring import Finding, Verdict
from agent.config import AgentConfig
from agent.console.believed import read_believed
from agent.console.observation import Observation, agent_runs, frames_of, observe
from agent.delivery.endpoints import endpoint
from agent.delivery.mqtt import PROTOCOLS, Answer, Connection, ConnectionRefused
from agent.errors import AgentError, CatalogError
from agent.files import write_durably
from agent.identity.files import Identity, is_private
from agent.identity.tls import broker_context
from agent.store import Store
from algorithms.api.errors import Problem, SettingsError
from algorithms.api.records import Result
from algorithms.api.samples import Quantity
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.documents import Acquisition, Configuration, Desired
from device_catalog.contract.topics import BROKERS
from device_catalog.contract.validation import DocumentError
from hardware.errors import SourceError

CLOCK_TOLERANCE = 5.0
"""How far this clock may be from the catalog's [s]."""

AGREES = 1.5
"""What whole seconds and a slow answer may make of two clocks that agree [s]."""

RATE_TOLERANCE = 0.02
"""How far the delivered rate may be from the granted one over a check [1]."""

_CALIBRATE = "compare with a reference meter: tresma-agent calibrate"

BROKER_PATIENCE = 5.0
"""How long a broker may take to connect, and again to acknowledge [s]."""

RENEWAL_PATIENCE = 86_400.0
"""A renewal that is overdue by this is told [s]."""
DISK_LEAST = 64 * 1024 * 1024
DISK_COMFORTABLE = 512 * 1024 * 1024
"""Free space below which a check fails, or warns [bytes]."""


def check(config: AgentConfig, seconds: float, secrets: Sequence[Path] = ()) -> Iterator[Finding]:
    """
    Look at everything, in the order in which a meter needs it.

    Parameters
    ----------
    config : AgentConfig
        Read already: that it could be is the first finding.
    seconds : float
        How long to sample [s].
    secrets : sequence of Path
        Files with the credential, which nobody else may read.
    """
    yield Finding("configuration", Verdict.OK, f"device {config.device}, catalog {config.catalog}")
    yield from _secrets(secrets)
    yield from _identity(config)
    desired, findings, server_time = _catalog(config)
    yield _clock(server_time)
    yield from findings
    yield from _disk(config.state_dir)
    yield from _isolation()
    if desired is None:
        yield Finding("brokers, source, wiring", Verdict.FAILED, "not checked: the catalog told nothing", "see above")
        return
    for broker in BROKERS:
        yield _broker(config, desired, broker, getattr(desired.configuration.brokers, broker))
    configuration, finding = _calibration(config, desired)
    if finding is not None:
        yield finding
    yield from _source(config, configuration, seconds)


def refused(item: str, problem: Problem) -> Finding:
    """Make a finding of a problem with a document, its remedy apart from the rest."""
    return Finding(item, Verdict.FAILED, str(msgspec.structs.replace(problem, remedy="")), problem.remedy)


def _secrets(files: Sequence[Path]) -> Iterator[Finding]:
    for file in files:
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:  # in the environment then, or gone since it was read
            continue
        if mode & 0o077:
            found = f"others may read {file} (mode {mode:03o}), and speak as this device"
            yield Finding("credential", Verdict.WARNING, found, f"chmod 600 {file}, as the agent's own user")


def _identity(config: AgentConfig) -> Iterator[Finding]:
    """Look at the device's certificate, where it has one."""
    identity = Identity(config.state_dir)
    facts = identity.facts()
    if facts is None:
        if not config.credential:
            remedy = "`tresma devices enrol` gives a token; name it (token_file), or run `tresma-agent enrol`"
            yield Finding("certificate", Verdict.FAILED, "none yet, and no credential", remedy)
        return
    left = (facts.not_after - time.time()) / 86_400
    found = f"of {facts.device}, {left:.0f} days left"
    if facts.device != config.device:
        remedy = "enrol this device with a token of its own"
        yield Finding("certificate", Verdict.FAILED, found, remedy)
    elif left <= 0:
        yield Finding("certificate", Verdict.FAILED, f"of {facts.device}, ended", "enrol this device anew")
    elif not is_private(identity.path):
        yield Finding("certificate", Verdict.WARNING, f"others may read {identity.path}", "chmod 600")
    elif time.time() > facts.renew_at + RENEWAL_PATIENCE:
        yield Finding("certificate", Verdict.WARNING, f"{found}, not renewed", "see the agent's log for the reason")
    else:
        yield Finding("certificate", Verdict.OK, found)


def _catalog(config: AgentConfig) -> tuple[Desired | None, list[Finding], float | None]:
    client = CatalogClient(config)
    try:
        document = client.fetch()
    except CatalogError as error:
        remedy = "check the address, the network and the credential"
        return None, [Finding("catalog", Verdict.FAILED, str(error), remedy)], client.server_time
    finally:
        client.close()
    try:
        desired = read_believed(config, document)
    except DocumentError as error:
        return None, [refused("settings", problem) for problem in error.problems], client.server_time
    algorithms = ", ".join(one.algorithm for one in desired.configuration.algorithms) or "no algorithms"
    finding = Finding("catalog", Verdict.OK, f"revision {desired.revision}: {algorithms}")
    return desired, [finding], client.server_time


def _clock(server_time: float | None) -> Finding:
    report = synchronisation()
    off = None if server_time is None else time.time() - (server_time + 0.5)  # HTTP tells whole seconds only
    difference = ""
    if off is not None:
        difference = ", agrees with the catalog's" if abs(off) < AGREES else f", {off:+.0f} s from the catalog's"
    if off is not None and abs(off) > CLOCK_TOLERANCE:
        return Finding("clock", Verdict.FAILED, f"wrong{difference}", "set the clock; enable time synchronisation")
    if report.synchronised:
        uncertainty = "" if report.uncertainty is None else f" within {1e3 * report.uncertainty:.3g} ms"
        return Finding("clock", Verdict.OK, f"follows UTC{uncertainty}{difference}")
    remedy = "enable systemd-timesyncd or chrony; until then angles refer to this meter's own clock"
    return Finding("clock", Verdict.WARNING, f"runs free{difference}", remedy)


def _disk(folder: Path) -> Iterator[Finding]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / "check"
        write_durably(probe, b"check")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        remedy = "free space, or mount it for writing"
        yield Finding("disk", Verdict.FAILED, f"{folder} cannot be written: {error.strerror}", remedy)
        return
    found = f"{free / 2**20:.0f} MiB free in {folder}"
    verdict = Verdict.FAILED if free < DISK_LEAST else Verdict.WARNING if free < DISK_COMFORTABLE else Verdict.OK
    yield Finding("disk", verdict, found, "" if verdict is Verdict.OK else "free space: an outage of a broker needs it")


def _isolation() -> Iterator[Finding]:
    from agent.processes.workers import Workers  # noqa: PLC0415 - starts processes; only when it comes to this

    async def probe() -> dict[str, bool]:
        workers = Workers()
        await workers.start()
        try:
            return await workers.probe()
        finally:
            await workers.stop()

    try:
        isolation = asyncio.run(probe())
    except (AgentError, OSError) as error:
        yield Finding("isolation", Verdict.FAILED, f"algorithms cannot be confined: {error}", "report it with the log")
        return
    missing = [layer for layer, held in isolation.items() if not held]
    if missing:
        remedy = "algorithms of strangers should not run here; a newer kernel, or running as a service, helps"
        yield Finding("isolation", Verdict.WARNING, f"not in force: {', '.join(missing)}", remedy)
    else:
        yield Finding("isolation", Verdict.OK, f"in force: {', '.join(isolation)}")


def _broker(config: AgentConfig, desired: Desired, name: str, urls: tuple[str, ...]) -> Finding:
    item = f"{name} broker"
    if not urls:
        return Finding(item, Verdict.FAILED, "no endpoint in the settings", "set brokers in the catalog")
    unreached: list[str] = []
    for url in urls:
        problem = asyncio.run(_publish(config, desired.tenant, url))
        if not problem:
            others = f"; not {', '.join(unreached)}" if unreached else ""
            verdict = Verdict.WARNING if unreached else Verdict.OK
            found = f"{_place(url)} acknowledged a message{others}"
            return Finding(item, verdict, found, "restore the preferred broker" if unreached else "")
        unreached.append(f"{_place(url)} ({problem})")
    remedy = "check address, network, and that the broker knows this device"
    return Finding(item, Verdict.FAILED, "; ".join(unreached), remedy)


async def _publish(config: AgentConfig, tenant: str, url: str) -> str:
    """Publish one message under a name of the check's own; return what prevented its being acknowledged."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    now = time.time_ns()
    payload = encode(Result("check/1", config.device, now, {}), Header(config.device, 0, 0, 1, now))

    def take(answers: list[Answer]) -> None:
        if not answered.done():
            answered.set_result(answers[0])

    try:
        tls = broker_context(config) if endpoint(url).tls else None
    except OSError as error:  # an ssl.SSLError is one
        return f"the certificate cannot be shown: {error.strerror or error}"
    for protocol in PROTOCOLS:
        connection = Connection(
            endpoint(url),
            client_id=f"{config.device}-check",
            protocol=protocol,
            username=config.device,
            password=config.credential or None,
            tls=tls,
            on_answers=take,
            on_message=lambda _topic, _payload, _retained: None,
        )
        try:
            await connection.open(within=BROKER_PATIENCE)
            connection.publish("check", topics.results(tenant, config.device, "check/1"), payload, retain=False)
            answer = await asyncio.wait_for(answered, BROKER_PATIENCE)
        except ConnectionRefused as error:
            if error.protocol_unsupported:
                continue
            return str(error)
        except TimeoutError:
            return f"no acknowledgement within {BROKER_PATIENCE:g} s"
        finally:
            connection.close()
        return "" if answer.accepted else f"refused: {answer.reason}"
    return "the broker speaks neither MQTT 5 nor 3.1.1"


def _place(url: str) -> str:
    where = endpoint(url)
    return f"{where.host}:{where.port}"


# ---- the source and what it shows


def _calibration(config: AgentConfig, desired: Desired) -> tuple[Configuration, Finding | None]:
    """Put the constants that were measured in the place of the settings', and say how well that went."""
    try:
        calibrations = Calibrations(Store(config.state_dir), SystemClock())
    except OSError:  # told by the disk's finding
        return desired.configuration, None
    configuration = calibrations.applied_to(desired)
    acquisition, report = configuration.acquisition, calibrations.report()
    if calibrations.problems:
        return configuration, Finding("calibration", Verdict.WARNING, "; ".join(calibrations.problems), _CALIBRATE)
    if report is not None and report.channels:
        found = f"{len(report.channels)} channels, {report.made.date().isoformat()}, {report.by}"
        return configuration, Finding("calibration", Verdict.OK, found)
    if acquisition is None or not acquisition.channels:
        return configuration, None
    return configuration, Finding("calibration", Verdict.WARNING, "none: the settings' own constants count", _CALIBRATE)


def _source(config: AgentConfig, configuration: Configuration, seconds: float) -> Iterator[Finding]:
    acquisition = configuration.acquisition
    if acquisition is None:
        yield Finding("source", Verdict.OK, "none assigned: this agent has no board")
        return
    in_use = agent_runs(config.state_dir)
    try:
        seen = observe(acquisition, seconds)
    except SourceError as error:
        found, remedy = told_apart(str(error))
        if in_use:
            found, remedy = str(error), "stop the agent while checking: systemctl stop tresma-agent"
        yield Finding("source", Verdict.FAILED, found, remedy)
        return
    yield _rate(acquisition, seen)
    if seen.samples:
        yield from wiring.judge_channels(seen.statistics(), acquisition.nominal_voltage)
        yield from _wiring(acquisition, seen)


def told_apart(message: str) -> tuple[str, str]:
    """
    Tell a source's message from the remedy at its end.

    >>> told_apart("source uldaq: expected a board, found none; plug it in")
    ('source uldaq: expected a board, found none', 'plug it in')
    >>> told_apart("options: a: expected 1, found 2; b: expected 3, found 4")
    ('options: a: expected 1, found 2; b: expected 3, found 4', '')
    """
    found, _, remedy = message.rpartition("; ")
    if not found or "expected" in remedy or found.count("(") > found.count(")"):  # one more fault, or half a bracket
        return message, ""
    return found, remedy


def _rate(acquisition: Acquisition, seen: Observation) -> Finding:
    granted = seen.plan.sample_rate
    if not seen.samples or not seen.elapsed:
        return Finding("source", Verdict.FAILED, f"{acquisition.driver} delivers no samples", "check board and cable")
    delivered = seen.samples / seen.elapsed
    found = f"{acquisition.driver}: {len(seen.plan.channels)} channels, {delivered:.5g} of {granted:.5g} samples/s"
    if seen.lost:
        return Finding(
            "source", Verdict.FAILED, f"{found}, lost some {seen.lost} times", "lower the rate; check the bus"
        )
    if seen.live and abs(delivered / granted - 1) > RATE_TOLERANCE:
        return Finding("source", Verdict.FAILED, found, "lower the rate, or look for what else keeps the machine busy")
    return Finding("source", Verdict.OK, found if seen.live else f"{found} (a recording, as fast as it is read)")


def _wiring(acquisition: Acquisition, seen: Observation) -> Iterator[Finding]:
    if not any(channel.quantity is Quantity.VOLTAGE for channel in seen.plan.channels):
        return
    try:
        usable = frames_of(acquisition, seen)
    except SettingsError as error:
        yield Finding("wiring", Verdict.FAILED, str(error), "raise the sampling rate")
        return
    if not usable:
        yield Finding("wiring", Verdict.FAILED, "no frequency was found in the voltages", "see the channels above")
        return
    frequency = usable[-1].frequency
    if frequency is not None:
        yield Finding(
            "frequency", Verdict.OK, f"{frequency.value:.3f} Hz, 1 sigma {1e3 * frequency.uncertainty:.2g} mHz"
        )
    yield from wiring.judge_wiring(usable[-1], acquisition.direction)
