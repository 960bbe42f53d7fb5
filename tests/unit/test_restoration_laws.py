"""What holds whatever goes wrong: random faults among switches that jam, lie, are slow or silent, and lost messages."""

from random import Random

import pytest

from algorithms.api.records import Command, Result
from tests.support.feeder_pair import feeder_pair_document
from tests.support.switch_world import World

BAD = ("jams", "silent", "lies")


def troubled(seed):
    """Make a world in which some things do not work, and put a fault somewhere."""
    pick = Random(seed)
    document = feeder_pair_document(rating=pick.choice((60.0, 250.0)), neutral="resistance")
    names = [switch["id"] for switch in document["switches"] if not switch["id"].startswith("breaker")]
    switches = {name: {"behaviour": pick.choice(BAD)} for name in pick.sample(names, pick.randint(0, 3))}
    for name in pick.sample(names, 2):
        switches.setdefault(name, {"operating_time": pick.uniform(0.5, 9.0)})
    made = World(document, switches, closed_loop=True, response=2.0, patience=30.0)
    made.wait(11.0)
    lossy = pick.random() < 0.5
    if lossy:
        chance = Random(seed + 1)
        made.lost = lambda record: isinstance(record, Command | Result) and chance.random() < 0.2
    lines = [f"{feeder}-line{number}" for feeder in "pq" for number in range(1, 7)]
    fault = pick.choice(lines)
    made.strike(fault)
    made.wait(0.3)
    made.tell(fault, *pick.sample(lines, pick.randint(0, 1)))
    if pick.random() < 0.3:
        made.wait(pick.uniform(0.0, 6.0))
        other = pick.choice(lines)
        made.strike(other)
        made.tell(other)
    if pick.random() < 0.2:
        made.wait(pick.uniform(3.0, 6.0))
        made.restart()
    return made, switches


@pytest.mark.parametrize("seed", range(15))
def test_whatever_goes_wrong_it_ends_safe_and_says_how(seed):
    made, switches = troubled(seed)
    seen = set()
    for _ in range(70):
        made.wait(1.0)
        seen |= set(made.loops())
    lying = {name for name, settings in switches.items() if settings.get("behaviour") == "lies"}
    assert made.events, "it says how it ended"
    assert all(event.evidence["position"] for event in made.events if event.kind == "restoration")
    orders = [(command.arguments["token"], command.arguments["sequence"]) for command in made.commands]
    assert orders == sorted(set(orders)), "in order, none twice"
    if not lying:
        assert not seen, "never a loop where switches tell the truth"
    rows = made.model.branches.rows
    live = made.live()
    for branch in made.faults:
        node = made.model.nodes.ids[int(made.model.branches.from_node[rows[branch]])]
        assert node not in live, "no fault is fed in the end"
    trips = [name for name in ("breaker-p", "breaker-q") if made.switches[name]._cycle.lockout]
    closings = sum(command.verb == "close" and command.recipient.startswith("breaker") for command in made.commands)
    assert closings <= 2 * (2 + len(lying)) + len(trips), "a breaker is not closed again and again"
