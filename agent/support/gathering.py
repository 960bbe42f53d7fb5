"""
What goes into a support bundle: a fixed list, which whoever asks cannot change.

Where it stands: called by ``tresma-agent support-bundle``, by a person at the meter or by `desk` for the catalog; it
needs no running agent and changes nothing. Rules: settings pass by what their schema knows (`redaction`), texts lose
their secrets (`scrubbing`), keys and credentials are opened only to know what must not be in it; each item is bounded,
and one that cannot be had costs a sentence in the manifest, never the bundle.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import yaml

from agent.config import AgentConfig, read_config, secret_files
from agent.errors import AgentError, ConfigError
from agent.recording.recordings import Kept
from agent.support import health, kept_log, machine
from agent.support.bundle import Bundle, Missing
from agent.support.declarations import Declarations
from agent.support.looking import content_of, said_by, sealed_content_of
from agent.support.redaction import redacted
from agent.support.scrubbing import Scrubber
from agent.support.words import README
from agent.updates.journal import Document as UpdatesDocument
from device_catalog.contract.calibration import Calibration
from device_catalog.contract.documents import Desired
from device_catalog.contract.reports import Reported
from device_catalog.contract.signatures import opened
from device_catalog.contract.topics import is_identifier

FOLDER = "support"
"""Where a meter keeps its own log and health history, in its state."""

TIME = 60.0
"""After this nothing more is begun [s]."""
RECORDINGS = 3
RECORDINGS_ROOM = 8 * 1024 * 1024
"""How many of the newest recordings are put in, and in how much room [bytes]."""
JOURNAL_LINES = 20_000

_unit = "tresma-agent.service"
_command_key = "command.key"  # of `agent.trust.signing`, which loads a library that may be what is broken
_unit_facts = (
    *("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus", "ExecMainCode", "MemoryCurrent"),
    *("MemoryPeak", "CPUUsageNSec", "TasksCurrent", "ActiveEnterTimestamp", "WatchdogTimestamp", "StatusText"),
    *("UnitFileState", "FragmentPath", "DropInPaths", "User", "NoNewPrivileges", "ProtectSystem"),
)
_own_lines = ("device", "catalog", "state_dir", "log_level", "root_file", "ca_file")
_own_secrets = ("credential", "credential_file", "token_file")
_state_files = (
    *("lock", "outbox.db", "outbox.db-wal", "outbox.db-shm", "settings", "settings.before", "calibration", "network"),
    *("updates", "updates.before", "checkpoints", "recordings", "algorithms", "identity", FOLDER),
)


class Meter(NamedTuple):
    """
    The meter that is looked at.

    Attributes
    ----------
    device : str
        Empty where its configuration cannot be read.
    state : pathlib.Path
    config : AgentConfig or None
    raw : dict
        Its own lines as they stand in the file.
    trouble : tuple of str
        What is wrong with them.
    scrubber : Scrubber
        Knows its secrets.
    """

    device: str
    state: Path
    config: AgentConfig | None
    raw: dict[str, Any]
    trouble: tuple[str, ...]
    scrubber: Scrubber


def meter_of(config_file: Path | None, environment: Mapping[str, str], state: Path | None = None) -> Meter:
    """
    Find out which meter this is, as far as its configuration tells.

    Parameters
    ----------
    config_file : pathlib.Path or None
        None to take everything from the environment.
    environment : mapping
    state : pathlib.Path, optional
        Its folder, where the configuration cannot say.
    """
    raw: dict[str, Any] = {}
    if config_file is not None:
        try:
            read = yaml.safe_load(content_of(config_file.resolve(), 64 * 1024))
            raw = {str(name): value for name, value in read.items()} if isinstance(read, dict) else {}
        except (Missing, OSError, yaml.YAMLError, ValueError, RuntimeError):  # RuntimeError: links in a circle
            raw = {}
    config: AgentConfig | None = None
    trouble: tuple[str, ...] = ()
    try:
        config = read_config(config_file, environment)
    except ConfigError as error:
        trouble = tuple(map(str, error.problems))
    except (AgentError, OSError, RuntimeError) as error:
        trouble = (str(error),)
    named = environment.get("TRESMA_STATE_DIR") or raw.get("state_dir")
    folder = state or (config.state_dir if config else Path(str(named or "/var/lib/tresma")))
    device = config.device if config else str(raw.get("device", ""))
    scrubber = Scrubber(_secrets(config_file, environment, raw, folder))
    return Meter(device if is_identifier(device) else "", folder, config, raw, trouble, scrubber)


def gather(meter: Meter, out: IO[bytes], say: Callable[[str], None], most: int | None = None) -> Bundle:
    """
    Write a bundle.

    Parameters
    ----------
    meter : Meter
    out : binary file
    say : callable
        Takes a line for each thing done.
    most : int, optional
        As much as a bundle may hold unless given [bytes].

    Raises
    ------
    OSError
        When it cannot be written.
    """
    deadline = time.monotonic() + TIME
    name = f"tresma-support-{meter.device or 'unknown'}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    bundle = Bundle(out, meter.device, name) if most is None else Bundle(out, meter.device, name, most)
    with bundle:
        for item in _items(meter):
            if time.monotonic() > deadline:
                bundle.missing[item.name] = f"expected to come to it within {TIME:g} s, found the time used up"
                continue
            _put(bundle, item, say)
        _put_recordings(bundle, meter, deadline, say)
        for file, why in bundle.missing.items():
            say(f"not in it: {file}: {why}")
    return bundle


class Item(NamedTuple):
    """Something that goes in: its name, what it is, and what makes it."""

    name: str
    about: str
    content: Callable[[], bytes]


def _items(meter: Meter) -> list[Item]:
    """List everything but recordings; what tells most comes first."""
    state, own = meter.state, meter.state / FOLDER
    items = [
        Item("README.txt", "what is what", README.encode),
        Item("versions.json", "what this machine and its programs are", lambda: _json(_versions())),
        Item("configuration.json", "the agent's own lines, secrets left out", lambda: _json(_own_configuration(meter))),
        Item("status.json", "the last report of the agent, with its age", lambda: _json(_status(meter))),
        Item("isolation.json", "what confines algorithms, as measured", lambda: _json(_isolation(meter))),
        Item("machine.json", "room, memory, time, heat, links", lambda: _json(machine.state_of(state))),
        Item("files.json", "files of the agent's state: length and age", lambda: _json(_files(state))),
        Item("service.txt", "the service as systemd sees it", lambda: _lines(meter, _service())),
        Item("settings/settings.json", "settings in force", lambda: _json(_settings(meter, "settings"))),
        Item("settings/settings.before.json", "those before", lambda: _json(_settings(meter, "settings.before"))),
        Item("settings/updates.json", "versions of algorithms", lambda: _json(_sealed(meter, "updates"))),
        Item("settings/calibration.json", "the calibration made here", lambda: _json(_sealed(meter, "calibration"))),
    ]
    fared, own_log = "how the meter fared, a line each time", "the agent's own log"
    files = [*(("health", name, fared) for name in health.NAMES), *(("log", name, own_log) for name in kept_log.NAMES)]
    items += [Item(f"{place}/{name}", about, partial(_tail, meter, own / name)) for place, name, about in files]
    items.append(Item("log/journal.txt", "the journal of tresma's units", lambda: _lines(meter, _journal())))
    items.append(Item("log/kernel.txt", "warnings of the kernel", lambda: _lines(meter, _kernel())))
    return items


def _put(bundle: Bundle, item: Item, say: Callable[[str], None]) -> None:
    try:
        content = item.content()
    except Missing as error:
        bundle.missing[item.name] = str(error)
        return
    except OSError as error:
        bundle.missing[item.name] = f"expected to collect it, found: {error.strerror or type(error).__name__}"
        return
    except Exception as error:  # noqa: BLE001 - a broken meter is what this is for; it is named in the manifest
        bundle.missing[item.name] = f"expected to collect it, found {type(error).__name__}"
        return
    try:
        bundle.add(item.name, content, item.about)  # an OSError is the archive's own: there is nothing to go on with
    except Missing as error:
        bundle.missing[item.name] = str(error)
    else:
        say(f"{item.name}: {len(content) / 1000:.0f} kB")


def _put_recordings(bundle: Bundle, meter: Meter, deadline: float, say: Callable[[str], None]) -> None:
    folder = meter.state / "recordings"
    try:
        names = sorted((path.stem for path in folder.glob("*.json")), reverse=True)
    except OSError as error:
        names, bundle.missing["recordings"] = [], f"expected {folder}, found: {error.strerror}"
    room = min(RECORDINGS_ROOM, bundle.left)
    left_out = 0
    taken = 0
    for name in filter(is_identifier, names):
        if taken == RECORDINGS or time.monotonic() > deadline:
            break
        try:
            label = msgspec.json.decode(content_of(folder / f"{name}.json", 64 * 1024), type=Kept)
            samples = content_of(folder / f"{name}.cff", room)
        except (Missing, msgspec.MsgspecError, ValueError):
            left_out += 1
            continue
        room -= len(samples)
        taken += 1
        words = _json(msgspec.to_builtins(label))
        _put(bundle, Item(f"recordings/{name}.json", "label of a recording", partial(bytes, words)), say)
        _put(bundle, Item(f"recordings/{name}.cff", "a recording (COMTRADE)", partial(bytes, samples)), say)
    if left_out:
        bundle.missing["recordings"] = f"expected each to fit, found {left_out} too long or damaged"
    elif not taken and "recordings" not in bundle.missing:
        bundle.missing["recordings"] = "expected the newest recordings, found none on this meter"


def _secrets(
    config_file: Path | None, environment: Mapping[str, str], raw: Mapping[str, Any], state: Path
) -> list[str]:
    """Read what must not be in it."""
    found = [str(raw.get("credential", "")), environment.get("TRESMA_CREDENTIAL", "")]
    files = [state / "identity" / name for name in ("identity.pem", "identity.before.pem", "key.new.pem")]
    files.append(state / _command_key)
    try:
        files += secret_files(config_file, environment)
    except (AgentError, OSError):  # what cannot be read cannot get into a bundle either
        files += []
    for file in files:
        try:
            lines = content_of(file.resolve(), 64 * 1024).decode("latin-1").splitlines()
        except (Missing, OSError, RuntimeError):
            continue
        found += [line.strip() for line in lines if line.strip() and not line.startswith("-----")]
    if config_file is not None and "credential" in raw:
        found.append(str(raw["credential"]))
    return [secret for secret in found if secret]


def _versions() -> dict[str, Any]:
    try:
        tresma = version("tresma")
    except LookupError:
        tresma = "not known"
    return {"tresma": tresma, **machine.versions()}


def _own_configuration(meter: Meter) -> dict[str, Any]:
    clean = meter.scrubber.text
    lines = {name: clean(str(meter.raw[name]))[:300] for name in _own_lines if name in meter.raw}
    secret = {name: "set" for name in _own_secrets if name in meter.raw}
    unknown = sum(1 for name in meter.raw if name not in _own_lines and name not in _own_secrets)
    return {
        **lines,
        **secret,
        "state_dir in force": str(meter.state),
        "fields that are not known": unknown,
        "problems": [clean(problem) for problem in meter.trouble],
    }


def _status(meter: Meter) -> Any:
    path = meter.state / FOLDER / health.STATUS
    try:
        status = msgspec.json.decode(content_of(path))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Missing(f"expected {path} to be JSON, found: {error}") from error
    reported = status.get("reported") if isinstance(status, dict) else None
    if not isinstance(reported, dict):
        raise Missing(f"expected a report in {path}, found none")
    noted = meter.scrubber.text(str(status.get("noted", "")))[:40]
    return {"noted": noted, "reported": redacted(Reported, reported, meter.scrubber, lambda *_: None)}


def _isolation(meter: Meter) -> dict[str, Any]:
    status = _status(meter)
    found = status["reported"].get("isolation")
    if not found:
        raise Missing("expected isolation in the last report, found none; the agent has not come so far yet")
    return {"measured at the start before": status["noted"], "layers": found}


def _settings(meter: Meter, name: str) -> Any:
    document, signature = opened(sealed_content_of(meter.state / name, 4 * 1024 * 1024))
    try:
        fields = msgspec.json.decode(document)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Missing(f"expected JSON, found: {type(error).__name__}") from error
    passed = redacted(Desired, fields, meter.scrubber, Declarations(meter.state / "algorithms").of)
    return {"signed by": [part.partition(":")[0][:16] for part in signature.split(",") if part], "document": passed}


def _sealed(meter: Meter, name: str) -> Any:
    types: dict[str, type[msgspec.Struct]] = {"updates": UpdatesDocument, "calibration": Calibration}
    try:
        fields = msgspec.json.decode(sealed_content_of(meter.state / name))
    except (msgspec.MsgspecError, ValueError) as error:
        raise Missing(f"expected JSON, found: {type(error).__name__}") from error
    return redacted(types[name], fields, meter.scrubber, lambda *_: None)


def _files(state: Path) -> dict[str, Any]:
    """List what is known by name; what else is there is counted."""
    found: dict[str, Any] = {}
    others = 0
    try:
        for path in sorted(state.iterdir()):
            if path.name not in _state_files:
                others += 1
                continue
            status = path.lstat()
            count = sum(1 for _ in path.iterdir()) if path.is_dir() else None
            found[path.name] = {"bytes": status.st_size, "changed": _when(status.st_mtime), "files": count}
    except OSError as error:
        raise Missing(f"expected the agent's folder at {state}, found: {error.strerror}") from error
    return {**found, "others": others}


def _service() -> str:
    return said_by(["systemctl", "show", _unit, f"--property={','.join(_unit_facts)}"], 64 * 1024)


def _journal() -> str:
    command = ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", str(JOURNAL_LINES), "-u", "tresma-*"]
    return _unless_empty(said_by(command))


def _kernel() -> str:
    command = ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", "500", "-k", "-p", "warning"]
    return _unless_empty(said_by(command, 256 * 1024))


def _unless_empty(said: str) -> str:
    lines = said.strip().splitlines()
    if not lines or lines == ["-- No entries --"]:
        expected = "lines in the journal"
        raise Missing(f"expected {expected}, found none that this user may read, or none at all; try as root")
    return said


def _tail(meter: Meter, path: Path) -> bytes:
    return _lines(meter, content_of(path, tail=True).decode(errors="replace"))


def _lines(meter: Meter, text: str) -> bytes:
    """Take the secrets out of a text, a block of lines at a time: a key may stand on several."""
    return meter.scrubber.text(text).encode()


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _json(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
