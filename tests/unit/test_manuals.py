"""Manual pages are made of the commands' own help, and every line of them is text or an order that roff knows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from device_catalog.operator import __main__ as operator

ROOT = Path(__file__).parents[2]
KNOWN = {"TH", "SH", "SS", "TP", "PP", "RS", "RE", "br", "nf", "fi", "sp", "B", "I", "BR", "IR", "EX", "EE"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("man1")
    done = subprocess.run(
        [ROOT / "packaging/install/manuals", folder],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.stem: path.read_text() for path in folder.glob("*.1")}


def test_each_command_has_a_page_with_all_its_subjects(pages):
    assert set(pages) == {"tresma", "tresma-catalog"}
    (subjects,) = [action for action in operator._parser()._actions if action.choices]
    page = pages["tresma"]
    assert page.startswith('.TH TRESMA "1"')
    plain = re.sub(r"\\(f[BIR]|[,/])", "", page)
    for subject in subjects._choices_actions:
        assert f"tresma {subject.dest.partition(' ')[0]}\n{subject.help}" in plain


def test_no_line_is_taken_for_an_order_that_is_none(pages):
    for page in pages.values():
        orders = {line[1:].split(" ")[0] for line in page.splitlines() if line.startswith(".")}
        assert orders <= KNOWN
        assert not [line for line in page.splitlines() if line.startswith("'")]
