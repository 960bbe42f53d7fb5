"""What the operator's tables draw: a name is a name, whatever brackets and colons are in it."""

import ast
import io
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from rich.table import Table

from device_catalog.contract.rollout_progress import Counts, RolloutSummary
from device_catalog.contract.rollouts import RolloutState, Selector, Stage
from device_catalog.operator.flashing.progress import Reporter
from device_catalog.operator.output import drawing
from device_catalog.operator.rollout_picture import listing

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = [
    "station [north]",
    "[bold red]not red[/]",
    "feeder [/b] 7",
    "a :warning: b",
    "[link=https://x.example]y[/link]",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_in_brackets_is_what_somebody_wrote(name, capsys):
    table = Table(title=name)
    table.add_column(name)
    table.add_row(name)
    drawing().print(table)
    assert capsys.readouterr().out.count(name) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_rollout_names_whoever_asked_for_it(name, capsys):
    summary = RolloutSummary(
        *("r-1", "phasors", "2.0.0", RolloutState.RUNNING, "", False, 0, (Stage(100.0),), None),
        *(Counts(members=3), 1, Selector(groups=("pilot",)), NOW, NOW, "anna"),
    )
    drawing(160).print(listing([msgspec.structs.replace(summary, author=name)], NOW))
    assert name in capsys.readouterr().out


def test_bars_are_of_cards_whose_names_are_taken_as_they_are(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    with Reporter(is_terminal=True) as reporter:
        reporter.tell("card [/x].img", "writing", 1, 2)
    assert "card [/x].img: writing" in screen.getvalue()


def test_everything_is_drawn_by_what_takes_no_orders_from_texts():
    folder = Path(__file__).parents[2] / "device_catalog" / "operator"
    found = [
        f"{path.name}:{node.lineno}"
        for path in folder.rglob("*.py")
        if path.name != "output.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Console"
    ]
    assert found == []
