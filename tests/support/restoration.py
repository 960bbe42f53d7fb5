"""A reconfigurator on a pair of feeders: a fault struck and told, and what it did about it."""

from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World

SOON = 40.0


def world(switches=None, **settings):
    made = World(feeder_pair_document(), switches, **{"closed_loop": True, **settings})
    made.wait(1.0)
    return made


def fault(made, branch="p-line3", *alternatives, **evidence):
    made.strike(branch)
    made.wait(0.3)
    made.tell(branch, *alternatives, **evidence)


def ended(made, count=1):
    made.until(lambda: len(made.events) >= count, SOON)
    return made.outcome


def asked(made):
    return [(command.recipient, command.verb) for command in made.commands]
