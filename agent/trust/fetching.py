"""
Fetching an algorithm: what is believed goes into a short-lived process, what it verified comes back and is kept.

Kept under the agent's state folder::

    trust/metadata/   root.json targets.json snapshot.json timestamp.json PUBLISHER.json    as verified last
    trust/floors.json                                                                       `decisions.Floors`
    algorithms/NAME/VERSION-SHA256/                                                         `staging`

Rules: the process works on a copy; what it verified replaces what is kept file by file, root first, each durably, also
when the fetch as a whole was refused, because a new root may have taken the rights from a stolen key. A cut between
two files is an older, whole state to TUF, which then fetches the rest again. Damage to the kept root falls back to the
root that the meter was given.
"""

import contextlib
import fcntl
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.errors import TrustError
from agent.files import write_durably
from agent.trust.decisions import Floors, Reading, with_release
from agent.trust.exchange import GIVEN_ROOT, METADATA, TARGET, Answer, Question
from agent.trust.staging import judge, stage
from algorithms.api.errors import shortened
from device_catalog.contract.packages import MAXIMUM_PACKAGE, Package, package_name, tags_for
from device_catalog.contract.policy import POLICY_PATH
from device_catalog.contract.trust import MAXIMUM_ROOT, MAXIMUM_TARGETS, facts_of, target_path

FLOORS, _PREFIX = "floors.json", "fetch-"
_first = ("root.json", "timestamp.json", "snapshot.json", "targets.json")
Ask = Callable[[Question, float], Answer]
_MOST_ANSWER = 64 * 1024


class Limits(NamedTuple):
    """
    How long a fetch may take.

    Attributes
    ----------
    file : float
        One document [s].
    rate : float
        Least average speed of the package [bytes/s].
    whole : float
        Everything together [s].
    turn : float
        Until another fetch that is under way is done [s].
    """

    file: float = 20.0
    rate: float = 8192.0
    whole: float = 2400.0
    turn: float = 10.0


class FetchedPolicy(NamedTuple):
    """
    What the DSO signed as its policy.

    Attributes
    ----------
    document : bytes
        Empty where it signed none.
    expires : float
        Until when these signatures count [s since 1970].
    judged_at : float
        The trusted time [s since 1970].
    """

    document: bytes
    expires: float
    judged_at: float


class Fetched(NamedTuple):
    """
    An algorithm in place.

    Attributes
    ----------
    package : Package
    folder : pathlib.Path
        To import from.
    judged_at : float
        The trusted time at which expiry was judged [s since 1970].
    """

    package: Package
    folder: Path
    judged_at: float


def fetch_algorithm(
    name: str,
    version: str,
    *,
    state: Path,
    root: bytes,
    repository: str,
    clock: Reading,
    ca: str = "",
    limits: Limits | None = None,
    ask: Ask | None = None,
) -> Fetched:
    """
    Download, verify and put in place one version of an algorithm.

    Parameters
    ----------
    name, version : str
    state : pathlib.Path
        The agent's state folder.
    root : bytes
        The root metadata that this meter was given; what was verified since then is preferred.
    repository : str
        Base address, such as the catalog's.
    clock : Reading
    ca : str, optional
        File of the authorities that vouch for the server; the system's unless given.
    limits : Limits, optional
    ask : callable, optional
        Has a question answered within so many seconds; by a process of its own by default.

    Raises
    ------
    TrustError
        With one sentence; what ran and what is in place stays as it was.
    """
    machine, limits = platform.machine(), limits or Limits()
    try:
        (state / "trust" / METADATA).mkdir(parents=True, exist_ok=True, mode=0o700)
        with alone(state / "trust", limits.turn):
            answer, data = verified(
                (name, version), state, root, repository, clock=clock, ca=ca, limits=limits, ask=ask or ask_process
            )
            package = judge(answer.path.rpartition("/")[2], data, machine)
            if answer.facts is None or facts_of(package) != answer.facts:
                raise TrustError(f"expected in {package.file_name} what is signed beside it, found another manifest")
            folder = stage(package, data, state / "algorithms", answer.signer)
            floors = with_release(answer.floors, name, package.manifest.release)
            write_durably(state / "trust" / FLOORS, msgspec.json.encode(floors))
    except OSError as error:
        found = error.strerror or error
        raise TrustError(f"{state}: expected a folder that can be written, found: {found}", passing=True) from error
    return Fetched(package, folder, answer.judged_at)


def fetch_policy(
    *,
    state: Path,
    root: bytes,
    repository: str,
    clock: Reading,
    ca: str = "",
    limits: Limits | None = None,
    ask: Ask | None = None,
) -> FetchedPolicy:
    """
    Download and verify the DSO's policy; see `fetch_algorithm`.

    Raises
    ------
    TrustError
    """
    limits = limits or Limits()
    try:
        (state / "trust" / METADATA).mkdir(parents=True, exist_ok=True, mode=0o700)
        with alone(state / "trust", limits.turn):
            answer, data = verified(
                ("", ""), state, root, repository, clock=clock, ca=ca, limits=limits, ask=ask or ask_process
            )
            write_durably(state / "trust" / FLOORS, msgspec.json.encode(answer.floors))
    except OSError as error:
        found = error.strerror or error
        raise TrustError(f"{state}: expected a folder that can be written, found: {found}", passing=True) from error
    return FetchedPolicy(data, answer.expires, answer.judged_at)


@contextlib.contextmanager
def alone(folder: Path, turn: float) -> Iterator[None]:
    """Let one fetch be under way at a time, and sweep what one that was cut off left; waits `turn` [s] for another."""
    with (folder / "lock").open("w") as lock:
        try:
            _lock(lock.fileno(), turn)
        except BlockingIOError as error:
            raise TrustError(
                "expected to be the only fetch, found another under way; try again when it is done", passing=True
            ) from error
        for left in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _lock(descriptor: int, turn: float) -> None:
    """Wait a moment for another fetch: of the policy, which takes a second where the catalog is near."""
    deadline = time.monotonic() + turn
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(min(0.05, turn))
        else:
            return


def verified(
    wanted: tuple[str, str],
    state: Path,
    root: bytes,
    repository: str,
    *,
    clock: Reading,
    ca: str,
    limits: Limits,
    ask: Ask,
    candidates: tuple[str, ...] | None = None,
    least: int | None = None,
) -> tuple[Answer, bytes]:
    """
    Let the short-lived process download and verify; keep what it verified, whatever became of the rest.

    What is wanted is an algorithm's version, or the policy where both are empty, unless `candidates` say otherwise;
    `least` stands in the place of the release that is kept.
    """
    name, version = wanted
    kept = state / "trust" / METADATA
    with tempfile.TemporaryDirectory(dir=state / "trust", prefix=_PREFIX) as temporary:
        folder = Path(temporary)
        (folder / METADATA).mkdir()
        (folder / GIVEN_ROOT).write_bytes(root[:MAXIMUM_ROOT])
        for path in kept.glob("*.json"):
            (folder / METADATA / path.name).write_bytes(_read(path, MAXIMUM_TARGETS))
        question = Question(
            folder=temporary,
            repository=repository.rstrip("/"),
            name=name,
            version=version,
            candidates=_candidates(name, version) if candidates is None else candidates,
            clock=clock,
            floors=kept_floors(state),
            seconds=limits.file,
            rate=limits.rate,
            ca=ca,
            least=least,
        )
        answer = ask(question, limits.whole)
        _keep(folder / METADATA, kept)
        if answer.refusal:
            raise TrustError(answer.refusal, passing=answer.passing)
        return answer, _read(folder / TARGET, MAXIMUM_PACKAGE) if answer.path else b""


def _candidates(name: str, version: str) -> tuple[str, ...]:
    if not name:
        return (POLICY_PATH,)
    return tuple(target_path(name, package_name(name, version, tag)) for tag in tags_for(platform.machine()))


def ask_process(question: Question, most: float) -> Answer:
    """
    Have a question answered by the short-lived process.

    Raises
    ------
    TrustError
        When it takes longer than `most` [s], or ends without an answer.
    """
    command = [sys.executable, "-m", "agent.trust.verifier"]
    asked = msgspec.json.encode(question)
    try:
        ended = subprocess.run(command, input=asked, capture_output=True, timeout=most, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise TrustError(
            f"expected the repository to answer within {most:g} s, found it slower", passing=True
        ) from error
    try:
        return msgspec.json.decode(ended.stdout[:_MOST_ANSWER], type=Answer)
    except msgspec.DecodeError as error:
        words = ended.stderr[-2000:].decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"]
        if "No module named 'tuf'" in words[-1]:
            raise TrustError("expected the library tuf, found none; install python3-tuf or tresma[trust]") from error
        raise TrustError(f"expected an answer of the verifying process, found: {shortened(words[-1], 200)}") from error


def kept_floors(state: Path) -> Floors:
    """Read the floors of time and releases that are kept."""
    try:
        return msgspec.json.decode((state / "trust" / FLOORS).read_bytes(), type=Floors)
    except (FileNotFoundError, msgspec.DecodeError):
        return Floors()  # the first fetch, or a damaged card: TUF's own versions still hold


def _keep(folder: Path, kept: Path) -> None:
    found = {path.name: path for path in folder.glob("*.json")}
    for name in (*(name for name in _first if name in found), *sorted(set(found) - set(_first))):
        content = _read(found[name], MAXIMUM_TARGETS)
        known = kept / name
        if not known.exists() or known.read_bytes() != content:
            write_durably(known, content)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)
