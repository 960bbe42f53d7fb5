"""
The short-lived process that alone loads TUF: it gets a question on standard input, and answers on standard output.

Where it stands: `fetching` starts ``python -m agent.trust.verifier`` with a folder that holds a copy of what is
believed so far. The process follows TUF's client workflow, downloads the target into that folder, and ends; whatever
becomes of it, nothing that counts was touched. Loading TUF takes 0.2 s and 34 MB, which the agent does not have to
spare for ever.

Rules: time is the trusted time of `decisions`, not this machine's. The answer is one JSON object, in every case.
"""

import inspect
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuf.api import exceptions
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from agent.processes.short_lived import answer_one, bound
from agent.trust.decisions import Floors, floor_of, floors_after, moment, refusal_of_target, trusted_time
from agent.trust.exchange import GIVEN_ROOT, METADATA, TARGET, Answer, Question
from agent.trust.fetcher import BoundedFetcher
from algorithms.api.errors import shortened
from device_catalog.contract import trust
from device_catalog.contract.packages import MAXIMUM_PACKAGE
from device_catalog.contract.policy import MAXIMUM_POLICY
from device_catalog.contract.trust import ISSUED, TARGETS_ROLE, TargetFacts, read_facts

_PROCESSOR, _MEMORY = 60, 1024 * 2**20
_passing, _never_passing = (
    (exceptions.DownloadError, exceptions.ExpiredMetadataError),
    exceptions.DownloadLengthMismatchError,
)
"""What may pass by itself: a network comes back, a clock is set, fresh metadata are published."""


def answer(question: Question, fetcher: FetcherInterface | None = None) -> Answer:
    """
    Follow TUF's client workflow, then fetch the target.

    Parameters
    ----------
    question : Question
    fetcher : FetcherInterface, optional
        Where documents and target come from; the repository by default.
    """
    folder = Path(question.folder) / METADATA
    _believe_some_root(folder, Path(question.folder) / GIVEN_ROOT)
    floor = _floor(folder, question.floors)
    try:
        return _fetched(question, folder, floor, fetcher)
    except exceptions.ExpiredMetadataError as error:
        # The new root may have replaced the key under whose word the floor stands.
        lower = _floor(folder, question.floors)
        expired = error
    except Exception as error:  # noqa: BLE001 - every way to fail is an answer
        return _refused(error, trusted_time(question.clock, floor))
    try:
        if lower < floor:
            return _fetched(question, folder, lower, fetcher)
    except Exception as error:  # noqa: BLE001 - as above
        return _refused(error, trusted_time(question.clock, lower))
    return _refused(expired, trusted_time(question.clock, floor))


def _fetched(question: Question, folder: Path, floor: float, given: FetcherInterface | None) -> Answer:
    judged_at = trusted_time(question.clock, floor)
    fetcher = given or BoundedFetcher(question.seconds, question.ca)
    updater = _updater(folder, question.repository, fetcher)
    trusted_set: Any = updater._trusted_set  # noqa: SLF001 - TUF knows no other way to be told the time
    if not isinstance(getattr(trusted_set, "reference_time", None), datetime):
        return Answer("expected a version of python-tuf that can be told the time, found another; use 5.1 to 7.0")
    trusted_set.reference_time = datetime.fromtimestamp(judged_at, UTC)
    updater.refresh()
    found = next((info for info in map(updater.get_targetinfo, question.candidates) if info is not None), None)
    if found is None and question.name:
        wanted = f"{question.name}=={question.version}"
        return Answer(f"expected {wanted} among what is signed, found nothing of that name for this machine")
    facts = None
    if found is not None:
        facts = read_facts(found.custom) if question.name else None
        refusal = _refusal(question, facts, found.length)
        if refusal:
            return Answer(refusal)
        if isinstance(fetcher, BoundedFetcher):
            fetcher.seconds = question.seconds + found.length / question.rate
        updater.download_target(found, str(Path(question.folder) / TARGET))
    timestamp = Metadata.from_file(str(folder / "timestamp.json")).signed
    issued = moment(timestamp.unrecognized_fields.get(ISSUED))
    expires = timestamp.expires.replace(tzinfo=UTC).timestamp()
    floors = floors_after(question.floors, question.clock, _keys(folder), issued=issued, expires=expires, floor=floor)
    until = Metadata.from_file(str(folder / "targets.json")).signed.expires.replace(tzinfo=UTC).timestamp()
    signer = "" if found is None else _signer(folder, found.path)
    return Answer("", "" if found is None else found.path, facts, floors, judged_at, expires=until, signer=signer)


def _signer(folder: Path, path: str) -> str:
    """
    Name the role under which a target was found.

    Those of targets come first in TUF's search. What is not among them was delegated, and the order of delegations is
    that of the search.
    """
    targets: Any = Metadata.from_file(str(folder / "targets.json")).signed
    if path in targets.targets:
        return TARGETS_ROLE
    roles = (targets.delegations.roles or {}) if targets.delegations else {}
    return next((name for name, role in roles.items() if role.is_delegated_path(path)), "unknown")


def _refusal(question: Question, facts: TargetFacts | None, length: int) -> str:
    if question.name:
        releases = question.floors.releases if question.least is None else {question.name: question.least}
        return refusal_of_target(facts, length, question.name, question.version, releases)
    return "" if length <= MAXIMUM_POLICY else f"expected a policy of at most {MAXIMUM_POLICY} bytes, found {length}"


def _updater(folder: Path, repository: str, fetcher: FetcherInterface) -> Updater:
    config = UpdaterConfig(
        max_root_rotations=trust.MAXIMUM_ROTATIONS,
        max_delegations=trust.MAXIMUM_DELEGATIONS,
        root_max_length=trust.MAXIMUM_ROOT,
        timestamp_max_length=trust.MAXIMUM_TIMESTAMP,
        snapshot_max_length=trust.MAXIMUM_SNAPSHOT,
        targets_max_length=trust.MAXIMUM_TARGETS,
    )
    options: dict[str, Any] = {"fetcher": fetcher, "config": config, "target_base_url": repository + trust.TARGETS}
    if "bootstrap" in inspect.signature(Updater).parameters:  # from 6.0 on
        options["bootstrap"] = (folder / "root.json").read_bytes()
    return Updater(str(folder), repository + trust.METADATA, **options)


def _believe_some_root(folder: Path, given: Path) -> None:
    """Fall back to the root that the meter was given where the kept one is damaged: it leads to the same newest one."""
    kept = folder / "root.json"
    try:
        root: Any = Metadata.from_bytes(kept.read_bytes())
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        kept.write_bytes(given.read_bytes())


def _floor(folder: Path, floors: Floors) -> float:
    """Find the floor under the root that is believed at this moment."""
    issued = [0.0]
    for name in ("root.json", "targets.json"):
        try:
            issued.append(moment(Metadata.from_file(str(folder / name)).signed.unrecognized_fields.get(ISSUED)))
        except Exception:  # noqa: BLE001, S112 - what cannot be read says nothing of time; the updater judges it
            continue
    return floor_of(floors, _keys(folder), max(issued))


def _keys(folder: Path) -> tuple[str, ...]:
    try:
        root: Any = Metadata.from_file(str(folder / "root.json")).signed
        return tuple(sorted(root.roles["timestamp"].keyids))
    except Exception:  # noqa: BLE001 - as above
        return ()


def _refused(error: Exception, judged_at: float) -> Answer:
    return Answer(
        _sentence(error, judged_at), passing=isinstance(error, _passing) and not isinstance(error, _never_passing)
    )


def _sentence(error: Exception, judged_at: float) -> str:
    found = shortened(str(error), 200)
    at = f"{datetime.fromtimestamp(judged_at, UTC):%Y-%m-%d %H:%M} UTC"
    sentences: list[tuple[type[Exception], str]] = [
        (
            exceptions.ExpiredMetadataError,
            f"expected metadata that counts at {at}, found it expired ({found}); what runs goes on",
        ),
        (exceptions.UnsignedMetadataError, f"expected metadata signed by enough of its keys, found: {found}"),
        (exceptions.BadVersionNumberError, f"expected no older metadata than is known, found: {found}"),
        (exceptions.LengthOrHashMismatchError, f"expected the length and hash that are signed, found: {found}"),
        (exceptions.DownloadLengthMismatchError, f"expected no more than is allowed, found: {found}"),
        (exceptions.SlowRetrievalError, f"expected the repository to answer in time, found: {found}"),
        (exceptions.DownloadError, f"expected a repository that can be reached, found: {found}"),
        (exceptions.RepositoryError, f"expected metadata that can be believed, found: {found}"),
    ]
    for kind, sentence in sentences:
        if isinstance(error, kind):
            return sentence
    return f"expected metadata that can be read, found {type(error).__name__}: {found}"


def main() -> int:
    """Answer one question."""
    bound(processor=_PROCESSOR, memory=_MEMORY, longest_file=MAXIMUM_PACKAGE + 1)
    logging.disable(logging.CRITICAL)  # TUF warns of what the answer says anyway
    answer_one(Question, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
