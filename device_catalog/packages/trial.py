"""
Trying an algorithm in a process of its own: the conformance test and runs over recordings, under limits.

What does it is found by the entry-point group ``tresma.trials``: waveform sources and plug-ins belong to other rooms,
which this one knows nothing of. The process reads a question on standard input and answers with one JSON object.
"""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec

from algorithms.api.conformance_report import Finding
from algorithms.api.errors import Problem, shortened
from algorithms.api.manifest import Manifest
from device_catalog.contract.packages import PackageError, contents
from device_catalog.packages.bounded import run_bounded

TRIALS = "tresma.trials"
TIMEOUT = 300.0
"""How long a trial may take unless told otherwise [s]."""


class Run(msgspec.Struct, frozen=True):
    """What came of one recording: counts, processor time of a call [s], and growth of the process [bytes]."""

    name: str
    records: int
    results: dict[str, int]
    median: float
    late: float
    slowest: float
    memory: int


class Trial(msgspec.Struct, frozen=True):
    """Findings of the conformance test and runs, or the one problem that kept them from being made."""

    problem: str = ""
    findings: tuple[Finding, ...] = ()
    runs: tuple[Run, ...] = ()


def judged(trial: Trial, manifest: Manifest) -> list[Finding]:
    """Judge the runs against what the manifest declares; the conformance test's findings come first."""
    info, limits = manifest.info, manifest.limits
    findings = list(trial.findings)
    if trial.problem:
        findings.append(Finding("trial", False, trial.problem))
    for run in trial.runs:
        time = f"99 of 100 calls within {1e3 * run.late:.3g} ms here, {1e3 * info.time_budget:.3g} ms declared"
        findings.append(Finding(f"budget, {run.name}", run.late <= info.time_budget, time))
        memory = f"{run.memory / 2**20:.3g} MiB grown, {limits.memory / 2**20:.3g} MiB declared"
        findings.append(Finding(f"memory, {run.name}", run.memory <= limits.memory, memory))
    return findings


def try_algorithm(
    folder: Path,
    manifest: Manifest,
    settings: dict[str, Any],
    recordings: list[Path],
    network: Path | None,
    *,
    timeout: float = TIMEOUT,
) -> Trial:
    """
    Try the algorithm that `folder` holds.

    Raises
    ------
    PackageError
        When nothing is installed that could, or it gives no answer.
    """
    found = entry_points(group=TRIALS, name="algorithm")
    module = next((one.module for one in found), "")
    if not module:
        expected = "an installed tresma"
        raise PackageError([Problem("trial", expected, f"no entry point in {TRIALS}", "install it anew")])
    question = {
        "folder": str(folder.resolve()),
        "entry": manifest.entry,
        "memory": manifest.limits.memory,
        "settings": settings,
        "recordings": [str(path.resolve()) for path in recordings],
        "network": "" if network is None else str(network.resolve()),
    }
    ended = run_bounded([sys.executable, "-m", module], msgspec.json.encode(question), timeout)
    if ended.status is None:
        return Trial(f"expected an answer within {timeout:g} s, found none; it may wait for something, or never end")
    try:
        return msgspec.json.decode(ended.answer, type=Trial)
    except msgspec.DecodeError:
        words = shortened(ended.words, 200)
        return Trial(f"expected it to end well, found exit status {ended.status}; its last words: {words}")


def unpacked(data: bytes, folder: Path) -> None:
    """Write the files of a package that was judged right."""
    for name, content in contents(data).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
