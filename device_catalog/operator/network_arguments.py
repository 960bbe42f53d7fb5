"""
The command line of ``tresma network``: the group, and the verbs that modules of this room add to it.

To add a verb, write a function like those in `VERBS` in a module of your own and name it there.
"""

import argparse
from collections.abc import Callable

from device_catalog.operator import network_check, network_draw, network_import, network_operate, network_store

Add = Callable[..., argparse.ArgumentParser]
"""Adds one command to some commands: takes these, its name, what it does, and examples."""

_EXAMPLES = """\
examples:
  tresma network import european-lv -o lv.json                 a network to try things with
  tresma network check lv.json                                 is the document right, and what is in it?
  tresma network draw lv.json -o lv.svg                        one-line diagram
  tresma network put lv.json                                   into the catalog, which tells those it concerns
  tresma network switch lv-feeder tie-3=closed s-12=open       where switches stand
"""

VERBS: tuple[Callable[..., None], ...] = (
    network_import.add_verb,
    network_check.add_verb,
    network_draw.add_verb,
    network_store.add_verbs,
    network_operate.add_verbs,
)
"""Each adds verbs: called with the commands, what adds one that asks the catalog, and what adds one that does not."""


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]", remote: Add, local: Add, exit_text: str
) -> None:
    """
    Add ``network ...``.

    Parameters
    ----------
    subjects : argparse action
    remote, local : callable
        Add one command, with or without the options that say where the catalog is.
    exit_text : str
        What the exit status means.
    """
    subject = subjects.add_parser(
        "network",
        help="take over, check and draw the network, and put it into the catalog",
        description="Network documents: take one over from other programs, check and draw it.",
        epilog=f"{_EXAMPLES}\n{exit_text}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = subject.add_subparsers(required=True, metavar="VERB")
    for add_verb in VERBS:
        add_verb(commands, remote, local)
