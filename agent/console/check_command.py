"""``tresma-agent check``: the findings as lines for an installer, or as one object for a machine."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from agent.commissioning.wiring import Finding, Verdict
from agent.config import read_config, secret_files
from agent.console.check import check, refused
from agent.errors import ConfigError
from agent.provisioning import status

_marks = {Verdict.OK: "  ok  ", Verdict.WARNING: " warn ", Verdict.FAILED: "FAILED", Verdict.NOT_JUDGED: "unsure"}
_colours = {Verdict.OK: "32", Verdict.WARNING: "33", Verdict.FAILED: "31", Verdict.NOT_JUDGED: "33"}


def run(options: argparse.Namespace) -> int:
    """Check, telling each finding as it comes; returns 1 when one failed, 0 otherwise."""
    findings: list[Finding] = []
    say = (lambda _: None) if options.json else _say
    for finding in provisioned():
        findings.append(finding)
        say(finding)
    try:
        config = read_config(options.config)
    except ConfigError as error:
        for problem in error.problems:
            findings.append(refused("configuration", problem))
            say(findings[-1])
    else:
        for finding in check(config, options.seconds, secret_files(options.config)):
            findings.append(finding)
            say(finding)
    failed = sum(finding.verdict is Verdict.FAILED for finding in findings)
    warned = sum(finding.verdict is Verdict.WARNING for finding in findings)
    if options.json:
        items = [
            {"item": one.item, "verdict": one.verdict, "found": one.found, "remedy": one.remedy} for one in findings
        ]
        sys.stdout.write(json.dumps({"passed": not failed, "findings": items}, indent=2) + "\n")
    else:
        verdict = f"{failed} failed" if failed else "this meter is fit for service"
        sys.stdout.write(f"{_counted(len(findings), 'item')}, {_counted(warned, 'warning')}, {verdict}\n")
    return 1 if failed else 0


def provisioned(root: Path = Path("/")) -> Iterator[Finding]:
    """Say how far a meter that was provisioned by a card is on its way into the fleet."""
    now = status.read(root)
    if now is None:
        return
    if now.state == status.DONE and not now.problem:
        yield Finding("provisioning", Verdict.OK, f"by its card, as {now.device}")
        return
    verdict = {status.DONE: Verdict.WARNING, status.WAITING: Verdict.WARNING}.get(now.state, Verdict.FAILED)
    found = now.problem or "under way"
    yield Finding("provisioning", verdict, found, now.remedy)
    for problem in now.problems:
        if not problem.startswith(found):
            yield Finding("card", Verdict.WARNING, problem)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _say(finding: Finding) -> None:
    mark = _marks[finding.verdict]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\033[{_colours[finding.verdict]}m{mark}\033[0m"
    sys.stdout.write(f"[{mark}] {finding.item:<15} {finding.found}\n")
    if finding.remedy and finding.verdict is not Verdict.OK:
        sys.stdout.write(f"{'':9}{'':15} -> {finding.remedy}\n")
    sys.stdout.flush()
