"""``tresma network check``: everything wrong with a network document, or what is in it."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

from algorithms.api.errors import Problem
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_problems import problems_of_content
from algorithms.api.network_schema import MAXIMUM_LENGTH, read_form
from device_catalog.network_files.summary import summarise, summary_lines
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json

_EXAMPLES = """\
Everything wrong is found in one go: references to nothing, loops in a radial area, missing impedances, slips of unit,
wrong phases, what no source feeds. A right document is summed up, with what is unusual about it.

examples:
  tresma network check lv.json
  tresma network import my-net.json | tresma network check -
  tresma network check --json lv.json | jq .problems
"""

AT_ONCE = 12
"""So many problems of one kind of element are told one by one [1]."""


def add_verb(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    _remote: Callable[..., argparse.ArgumentParser],
    local: Callable[..., argparse.ArgumentParser],
) -> None:
    """Add ``check``."""
    check = local(commands, "check", "find everything wrong with a network document", _EXAMPLES)
    check.add_argument("file", metavar="FILE", help="a network document (- for standard input)")
    check.add_argument("--all", action="store_true", help=f"tell every problem, not {AT_ONCE} of each kind of element")
    check.set_defaults(command=check_file)


def check_file(options: argparse.Namespace) -> None:
    """Check a file and say what is wrong, or what is in it."""
    document, problems = read_document(options.file)
    if problems or document is None:
        refuse(options.file, problems, as_json=options.json, everything=options.all)
    summary = summarise(document)
    if options.json:
        say_json({"file": options.file, "problems": [], "summary": summary})
        return
    say(f"{options.file}: right")
    for line in summary_lines(summary):
        say(line)


def read_document(file: str) -> tuple[NetworkDocument | None, list[Problem]]:
    """
    Read a network document and find everything wrong with it.

    Raises
    ------
    UsageError
        When the file cannot be read.
    """
    form = read_form(read_bytes(file))
    if form.document is None:
        return None, list(form.problems)
    return form.document, [*form.problems, *problems_of_content(form.document, form.left_out)]


def right_document(file: str, *, as_json: bool) -> NetworkDocument:
    """
    Read a network document that must be right.

    Raises
    ------
    OperatorError
        When it is not.
    UsageError
        When the file cannot be read.
    """
    document, problems = read_document(file)
    if problems or document is None:
        refuse(file, problems, as_json=as_json, everything=False)
    return document


def read_bytes(file: str) -> bytes:
    """
    Read a file, or standard input, as far as a document may be long.

    Raises
    ------
    UsageError
        When it cannot be read.
    """
    try:
        if file == "-":
            return _bounded(sys.stdin.buffer)
        with Path(file).open("rb") as stream:
            return _bounded(stream)
    except OSError as error:
        raise UsageError(f"{file}: expected a file that can be read, found: {error.strerror}") from error


def refuse(file: str, problems: list[Problem], *, as_json: bool, everything: bool) -> NoReturn:
    """
    Say everything wrong, grouped by kind of element.

    Raises
    ------
    OperatorError
        Always.
    """
    many = f"{len(problems)} problems" if len(problems) != 1 else "one problem"
    message = f"{file}: expected a right network document, found {many}"
    if as_json:
        raise OperatorError(message, problems)
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        kind = re.match(r"[a-z_]*", problem.where)
        groups.setdefault(kind[0].replace("_", " ") if kind else "", []).append(problem)
    for name, group in groups.items():
        note(f"{name} ({len(group)})")
        told = group if everything else group[:AT_ONCE]
        for problem in told:
            note(f"  - {problem}")
        if len(group) > len(told):
            note(f"  ... and {len(group) - len(told)} more; --all tells them")
    raise OperatorError(message)


def _bounded(stream: BinaryIO) -> bytes:
    return stream.read(MAXIMUM_LENGTH + 1)
