"""
The end of the demo: a feeder has a fault, which its meters locate and its switches go around.

Where it stands: `demo_feeder` says what is there, `demo_plant` runs it; this listens to both brokers and says, a line
each, what was heard, in seconds from the fault. What was heard is compared with the fault that was made.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import demo_feeder
import msgspec
from demo_plant import Plant
from demo_processes import Household
from demo_words import say

from algorithms.api.wire import NANOSECONDS
from device_catalog.contract import topics
from device_catalog.operator.subscriber import Subscriber

STARTING = 60.0
"""Longest time for the switches to report [s]."""
LEAD = 2.0
"""From the registration of the meters to the beginning of their recordings [s]."""
PATIENCE = 2.5 * demo_feeder.PERIOD
"""Longest time for the restoration, a second round of the recording included [s]."""
NEAR = 3.0
"""Standard uncertainties within which the place told must be of the true one [1]."""


@dataclass
class Restoration:
    """
    What is heard of the feeder.

    Attributes
    ----------
    inception_ns : int
        When the fault strikes for the first time [ns UTC].
    """

    inception_ns: int = 0
    located: dict[str, Any] = field(default_factory=dict)
    located_at: float | None = None
    lockout_at: float | None = None
    restored_at: float | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    reporting: set[str] = field(default_factory=set)
    _told: set[str] = field(default_factory=set)

    def run(self, plant: Plant, household: Household) -> None:
        """Start the feeder's agents, let the fault strike, and tell what follows."""
        grid = [topics.switch_state("default", "+"), topics.switch_command("default", "+")]
        grid += [topics.faults("default", demo_feeder.NETWORK), topics.proposals("default", demo_feeder.NETWORK)]
        grid.append(topics.requests("default", "+"))
        listened = {"grid": grid, "data": [topics.events("default", "+")]}
        brokers = {name: (plant.broker(name),) for name in listened}
        with Subscriber(brokers, listened) as subscriber:
            links = subscriber.links.values()
            household.wait_for(lambda: all(link.connected for link in links), "the watcher's connection", 10.0)
            say("starting a 22 kV feeder's switches, a tie to its neighbour and a reconfigurator")
            plant.store_feeder()
            plant.add_feeder(demo_feeder.switching())
            household.wait_for(lambda: self._listen(subscriber) and self._is_ready, "the switches' reports", STARTING)
            begin_ns = time.time_ns() + round(LEAD * NANOSECONDS)
            self.inception_ns = begin_ns + round(demo_feeder.BEFORE * NANOSECONDS)
            say(f"starting a meter at its head and one along it; a fault strikes in {LEAD + demo_feeder.BEFORE:.0f} s")
            plant.add_feeder(demo_feeder.devices(plant.folder, begin_ns))
            household.wait_for(lambda: self._listen(subscriber) and bool(self.outcome), "the restoration", PATIENCE)

    def faults(self) -> list[str]:
        """Say what did not go as it should."""
        place = self.located
        if not place:
            return ["the fault on the feeder was not located"]
        found = []
        off = abs(place["distance"] - demo_feeder.DISTANCE)
        if place["branch"] != demo_feeder.BRANCH or off > NEAR * place["distance_uncertainty"]:
            found.append(f"the fault was located {off:.0f} m away on {place['branch']}")
        if self.outcome.get("outcome") != "restored":
            found.append(f"service was not restored: {self.outcome.get('reason', '')}")
        return found

    def summary(self) -> list[str]:
        """Say how long it took."""
        located = "never" if self.located_at is None else f"after {self.located_at:.2f} s"
        said = [f"  {'feeder':<12} fault located {located}"]
        if self.restored_at is not None and self.lockout_at is not None:
            count, dark = self.outcome["restored_customers"], self.outcome["unserved_customers"]
            span = self.restored_at - self.lockout_at
            said.append(f"  {'':<12} {count} customers supplied again {span:.2f} s after the lockout, {dark} dark")
        return said

    @property
    def _is_ready(self) -> bool:
        return set(demo_feeder.SWITCHES) <= self.reporting

    def _listen(self, subscriber: Subscriber) -> bool:
        for arrival in subscriber.arrivals(timeout=0.05):
            at = (arrival.time_ns - self.inception_ns) / NANOSECONDS
            self._take(arrival.topic.split("/")[2:], msgspec.json.decode(arrival.payload), at)
        return True

    def _take(self, topic: list[str], fields: dict[str, Any], at: float) -> None:
        match topic:
            case ["switches", switch, "state"]:
                self._moved(switch, fields["payload"], at)
            case ["switches", switch, "command"]:
                locked = " and lock" if fields["arguments"].get("tag") else ""
                self._say(at, f"{fields['device']} orders {switch} to {fields['verb']}{locked}")
            case ["requests", device]:
                self._say(at, f"{fields['device']} asks {device} for its voltages")
            case ["proposals", _]:
                steps = ", ".join(f"{step['switch']} {step['state']}" for step in fields["steps"])
                self._say(at, f"{fields['device']} plans: {steps}")
            case _ if fields.get("kind") == "fault" and fields.get("end") is None and not self.located:
                self._struck(at)
                at %= demo_feeder.PERIOD
                phases = " and ".join(fields["phases"])
                self._say(at, f"{fields['device']} detects a fault ({fields['evidence']['type']}, {phases})")
            case _ if fields.get("kind") == "fault-located" and not self.located:
                self.located, self.located_at = fields["evidence"], at
                self._located(fields["device"], fields["evidence"], at)
            case _ if fields.get("kind") == "restoration":
                self.outcome = fields["evidence"]
                self._say(at, f"{fields['device']}: {self.outcome['outcome']} {self.outcome['reason']}".rstrip())

    def _struck(self, at: float) -> None:
        """Count from the round of the recordings in which the fault was seen: agents may not have been there before."""
        self.inception_ns += int(max(at, 0.0) // demo_feeder.PERIOD) * round(demo_feeder.PERIOD * NANOSECONDS)

    def _located(self, device: str, place: dict[str, Any], at: float) -> None:
        self._say(at, f"{device} locates it: {place['branch']}, {place['distance']:.1f} m from {place['from_node']}")
        band, true = 2 * place["distance_uncertainty"], f"{demo_feeder.DISTANCE:.0f} m"
        say(f"  {'':>8}  (± {band:.1f} m; it is at {true}), {place['fault_resistance']:.2f} ohm")

    def _moved(self, switch: str, report: dict[str, Any], at: float) -> None:
        self.reporting.add(switch)
        if not self.inception_ns or at < 0 or report["state"] is None:
            return
        if report["lockout"] and self.lockout_at is None:
            self.lockout_at = at
        if switch == "tie" and report["state"] == "closed" and self.restored_at is None:
            self.restored_at = at
        self._say(at, f"{switch} is {report['state']}" + (", locked out" if report["lockout"] else ""))

    def _say(self, at: float, text: str) -> None:
        if self.inception_ns and text not in self._told:
            self._told.add(text)
            say(f"  {at:6.2f} s  {text}")
