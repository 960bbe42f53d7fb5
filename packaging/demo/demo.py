"""
``make demo``: the whole of tresma on one machine, for forty seconds.

A catalog, two MQTT brokers (grid and data) and three meters run as processes of their own, on free loopback ports:

- ``replaying`` plays a recording (its own, or the one named by ``--recording``), again and again;
- ``simulated`` sees a voltage sag and a phase jump;
- ``interrupted`` is killed half-way with kill -9, is noticed to be gone, and comes back.

Three agents more estimate the state of a small low-voltage grid from its customers' meters (`demo_grid`): two
concentrators and the grid above them, each on the part of the network that the catalog cuts for it. Meanwhile an
algorithm that the DSO signed is renewed on the running meter `simulated`, and a broken version of it is taken back
(`demo_releases`). When the time is over, a fault strikes a medium-voltage feeder (`demo_feeder`): its meters locate it,
and its switches go around it.

The demo does what an operator does: it registers all of them through the REST API and watches the brokers. Its watcher
is independent of the meters, so that what it says about lost and repeated frames is measured, not claimed. Whatever
ends the demo, everything it started is gone afterwards. Exit status 0 when all went well, 1 otherwise, 2 for wrong use.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Protocol

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a clone, installed or not

from demo_grid import DEVICES, Grid
from demo_plant import METERS, ROOT, Plant
from demo_processes import DemoError, Household, descendants
from demo_recording import examine, write_example
from demo_releases import DEVICE, Releases
from demo_restoration import Restoration
from demo_story import Story
from demo_summary import faults, summary
from demo_words import say

from device_catalog.operator.errors import OperatorError
from device_catalog.operator.subscriber import Subscriber
from device_catalog.operator.watch import subscriptions

LISTED = 24
"""Lines of what happened in the summary."""

KEPT_RUNS = 5
"""Folders of earlier demos that are kept."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: not to be caught by whoever handles errors."""


def main() -> int:
    """Run the demo; return the exit status."""
    options = _options()
    folder = _folder()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    status = 1
    household = None
    try:
        household = Household(folder)
        status = _demo(options, folder, household)
    except (DemoError, OperatorError) as error:
        say(f"the demo failed: {error}")
        for problem in getattr(error, "problems", ()):
            say(f"  - {problem}")
    except Stopped:
        say("the demo was stopped before its end")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # tidying up is bounded, and must not be left half-way
        killed = household.clear() if household is not None else 0
        left = descendants()
    if killed:
        say(f"{killed} processes had to be killed at the end")
    if left:
        say(f"these processes are still there: {left}")
    say(f"logs: {folder}")
    return 1 if left else status


def _demo(options: argparse.Namespace, folder: Path, household: Household) -> int:
    say("looking at the recording")
    recording = options.recording
    if recording is None:
        recording = folder / "example.cfg"
        write_example(recording)
    plant = Plant(folder, household, examine(recording))
    say("starting two brokers")
    plant.start_broker("grid")
    plant.start_broker("data")
    say("starting the catalog")
    plant.start_catalog()
    brokers = {name: (plant.broker(name),) for name in ("grid", "data")}
    with Subscriber(brokers, subscriptions("default")) as subscriber:
        links = subscriber.links.values()
        household.wait_for(lambda: all(link.connected for link in links), "the watcher's connection", 10.0)
        grid = Grid(plant.data_port)
        releases = Releases(folder)
        story = Story(plant, household, subscriber, grid, releases=releases, seconds=options.seconds)
        releases.prepare(plant.settings())
        say("putting a low-voltage grid into the catalog, and starting the agents that estimate it")
        plant.register_grid()
        for device in DEVICES.values():
            plant.start_agent(device)
        grid.start()
        say(f"registering three meters ({', '.join(METERS)}) at {plant.catalog} and starting their agents")
        plant.register_meters({DEVICE: releases.assignment}, releases.root)
        for device in METERS:
            plant.start_agent(device)
        say("waiting for the first frames")
        story.wait_for_frames()
        say("waiting for the first states")
        story.wait_for_states()
        by_hand = False
        try:
            story.run(Console())
        except Stopped:
            if options.seconds:
                raise
            by_hand = True
        seconds = time.monotonic() - story.began
        releases.stop(by_hand=by_hand)
        say("stopping the meters")
        grid.stop()
        plant.stop_agents()
        story.settle()
        restoration = None
        if not by_hand:
            restoration = Restoration()
            restoration.run(plant, household)
            plant.stop_agents()
        plant.stop_catalog()
        return _close(story, subscriber, (grid, releases, *([restoration] if restoration else [])), seconds, by_hand)


class Part(Protocol):
    """A part of the demo that tells how it went."""

    def summary(self) -> list[str]:
        """Say what happened, a line each."""

    def faults(self) -> list[str]:
        """Say what did not go as it should."""


def _close(story: Story, subscriber: Subscriber, parts: Sequence[Part], seconds: float, cut_short: bool) -> int:
    say()
    happened = story.happened()
    if happened:
        say("what happened:")
        for line in happened[:LISTED]:
            say(f"  {line}")
        if len(happened) > LISTED:
            say(f"  and {len(happened) - LISTED} more")
    interruption = story.interruption()
    for line in [*summary(story.view, interruption, seconds), *(line for part in parts for line in part.summary())]:
        say(line)
    # Whoever ends a demo that runs on need not wait for all of it.
    judged = None if cut_short and not interruption.back_ns else interruption
    wrong = faults(story.view, judged, subscriber.overflowed) + [line for part in parts for line in part.faults()]
    say("all went well" if not wrong else "not all went well:")
    for line in wrong:
        say(f"  - {line}")
    return 1 if wrong else 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description="A catalog, two brokers and three meters.")
    parser.add_argument("--seconds", type=_seconds, default=40.0, help="0 to run on until Ctrl-C (DEMO_SECONDS)")
    parser.add_argument("--recording", type=_recording, default=None, help="a .cfg or .cff file (RECORDING)")
    return parser.parse_args()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not (seconds == 0.0 or 5.0 <= seconds < 1e6):
        raise argparse.ArgumentTypeError(f"expected 0, or a number of seconds from 5, found {text}")
    return seconds


def _recording(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"expected a recording (.cfg or .cff), found no file {text}")
    return path


def _folder() -> Path:
    """Make a folder for this run, and remove those of runs long past."""
    name = f"{datetime.now(tz=UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    base = ROOT / ".demo"
    try:
        folder = base / name
        folder.mkdir(parents=True)
    except OSError:  # a clone that belongs to somebody else
        return Path(tempfile.mkdtemp(prefix="tresma-demo-"))
    for old in sorted(base.iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
