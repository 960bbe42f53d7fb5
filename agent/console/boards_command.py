"""``tresma-agent boards``: the data-acquisition boards of this machine, or the table of those that are known."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from hardware.errors import SourceError
from hardware.mcc_boards import MODELS, BoardModel
from hardware.mcc_inventory import BoardReport, default_library, inventory


def run(options: argparse.Namespace) -> int:
    """List boards; returns 0 when one can be used (or the table was asked for), 1 otherwise."""
    if options.models:
        _write_models(as_json=options.json)
        return 0
    problem = ""
    boards: Sequence[BoardReport] = ()
    try:
        boards = inventory(default_library())
    except SourceError as error:
        problem = str(error)
    if not boards and not problem:
        problem = "no board is plugged in; 'lsusb -d 09db:' lists what USB itself sees of this maker"
    if options.json:
        found = [_document(board) for board in boards]
        sys.stdout.write(json.dumps({"boards": found, "problem": problem}, indent=2) + "\n")
    else:
        for board in boards:
            sys.stdout.write(_lines(board))
        sys.stdout.write(f"{problem}\n" if problem else "")
    return 0 if any(not board.problem for board in boards) else 1


def _lines(board: BoardReport) -> str:
    verdict = "FAILED" if board.problem else "  ok  "
    lines = [f"[{verdict}] {board.product:<16} {board.serial or '?':<12} {_abilities(board.model)}"]
    if board.problem:
        lines.append(f"{'':9}-> {board.problem}")
    else:
        lines.append(f"{'':9}acquisition: {{driver: {board.driver}, options: {{serial: {json.dumps(board.serial)}}}}}")
    return "\n".join(lines) + "\n"


def _abilities(model: BoardModel | None) -> str:
    return "" if model is None else model.describe()


def _document(board: BoardReport) -> dict[str, Any]:
    return {
        "driver": board.driver,
        "product": board.product,
        "serial": board.serial,
        "usable": not board.problem,
        "problem": board.problem,
        "abilities": None if board.model is None else _facts(board.model),
    }


def _facts(model: BoardModel) -> dict[str, Any]:
    return {
        "model": model.name,
        "bits": model.bits,
        "inputs": {wiring.value: count for wiring, count in model.inputs.items()},
        "ranges": {wiring.value: [[one.low, one.high] for one in spans] for wiring, spans in model.ranges.items()},
        "rate_per_channel": model.rate,
        "rate_of_all": model.throughput,
        "rate_of_six_channels": model.highest_rate(6),
        "simultaneous": model.simultaneous,
        "range_per_channel": model.range_per_channel,
    }


def _write_models(*, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"models": [_facts(model) for model in MODELS]}, indent=2) + "\n")
        return
    for model in MODELS:
        sys.stdout.write(f"{model.name:<16} {model.describe()}; 6 channels up to {model.highest_rate(6):.0f} Hz\n")
