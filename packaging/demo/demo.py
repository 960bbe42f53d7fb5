"""
``make demo``: the whole of tresma on one machine, for forty seconds.

A catalog, two MQTT brokers (grid and data) and three meters run as processes of their own, on free loopback ports:

- ``replaying`` plays a recording (its own, or the one named by ``--recording``), again and again;
- ``simulated`` sees a voltage sag and a phase jump;
- ``interrupted`` is killed half-way with kill -9, is noticed to be gone, and comes back.

The demo does what an operator does: it registers the three through the REST API and watches the brokers. Its watcher
is independent of the meters, so that what it says about lost and repeated frames is measured, not claimed. Whatever
ends the demo, everything it started is gone afterwards. Exit status 0 when all went well, 1 otherwise, 2 for wrong use.
"""

import argparse
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console, Group
from rich.live import Live

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a clone, installed or not

from demo_plant import INTERRUPTED, LEASE, METERS, REPLAYING, ROOT, Plant
from demo_processes import DemoError, Household, descendants
from demo_recording import examine, write_example
from demo_summary import Interruption, faults, summary

from device_catalog.operator.errors import OperatorError
from device_catalog.operator.fleet import FleetView, PresenceChange
from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.subscriber import Subscriber
from device_catalog.operator.table import fleet_screen, lines, occurrence_line
from device_catalog.operator.watch import subscriptions

STARTING = 60.0
"""Longest time for the first frame of every meter [s]; a small Raspberry Pi takes a while to load numpy."""

KILLED_AT, BACK_AT = 0.4, 0.6
"""When the interrupted meter is killed and started again, as shares of the demo."""

ENDLESS = 40.0
"""What those shares refer to in a demo that runs on [s]."""

PATIENCE = 20.0
"""How much longer than asked for the demo may take, for a meter that is slow to come back [s]."""

SETTLING = 3.0
"""How long messages may be under way after the meters have ended [s]."""

REDRAW, REPORT = 0.25, 4.0
"""Between two drawings of the table, and between two reports where there is no terminal [s]."""

ROOM = 24
"""Lines of the terminal that the table and the demo's own words take; the rest is for what happened."""

LISTED = 24
"""Lines of what happened in the summary."""

KEPT_RUNS = 5
"""Folders of earlier demos that are kept."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: not to be caught by whoever handles errors."""


class Story:
    """
    What happens in a demo, and what is seen of it.

    Parameters
    ----------
    plant : Plant
    household : Household
    subscriber : Subscriber
    seconds : float
        0 to run on [s].
    """

    def __init__(self, plant: Plant, household: Household, subscriber: Subscriber, seconds: float) -> None:
        self.view = FleetView(first=1, nominal_voltage=plant.nominal_voltage)
        self.began = time.monotonic()
        self._plant, self._household, self._subscriber, self._seconds = plant, household, subscriber, seconds
        self._killed_ns = self._revived_ns = self._back_ns = 0
        self._last = (0, 0)
        self._told = 0
        self._report_at = 0.0

    def wait_for_frames(self) -> None:
        """Wait until every meter has said something."""
        self._household.wait_for(self._all_speak, "a first frame of every meter", STARTING)

    def run(self, console: Console) -> None:
        """Watch; kill a meter, see it noticed, bring it back; end when the time is over."""
        self.began = time.monotonic()
        span = self._seconds or ENDLESS
        kill_at = KILLED_AT * span
        back_at = max(BACK_AT * span, kill_at + LEASE + 1.0)
        end = self._seconds or math.inf
        with Live(console=console, auto_refresh=False) if console.is_terminal else _NoScreen() as live:
            while (now := self._now()) < end or (not self._back_ns and now < end + PATIENCE):
                self._household.check()
                if not self._killed_ns and now >= kill_at:
                    self._kill()
                elif self._killed_ns and not self._revived_ns and now >= back_at + self._reserve():
                    self._revive()
                self._take(REDRAW)
                if isinstance(live, Live):
                    live.update(self._screen(console.width, console.height), refresh=True)
                elif now >= self._report_at:
                    self._report(now)

    def settle(self) -> None:
        """Take in what is still under way: until nothing has come for a while."""
        deadline = time.monotonic() + SETTLING
        quiet_since = time.monotonic()
        while time.monotonic() < min(deadline, quiet_since + 0.5):
            if self._take(0.1):
                quiet_since = time.monotonic()

    def interruption(self) -> Interruption:
        """Return what was done to the interrupted meter, and who noticed when."""
        will, lease = self._noticed("device"), self._noticed("catalog")
        return Interruption(self._killed_ns, self._revived_ns, self._back_ns, *self._last, will, lease)

    def happened(self) -> list[str]:
        """Say what was seen to happen, oldest first."""
        return [self._line(occurrence) for occurrence in self.view.occurrences]

    def _line(self, occurrence: Occurrence) -> str:
        if occurrence.device == REPLAYING:
            return occurrence_line(occurrence, self._plant.origin_ns, self._plant.facts.period)
        return occurrence_line(occurrence)

    def _now(self) -> float:
        return time.monotonic() - self.began

    def _take(self, seconds: float) -> int:
        """Take in what arrives for so long [s]; return how many messages that were."""
        count = 0
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0.0:
            arrivals = self._subscriber.arrivals(timeout=left)
            count += len(arrivals)
            for arrival in arrivals:
                self.view.arrived(arrival)
        if self._revived_ns and not self._back_ns:
            meter = self.view.meter(INTERRUPTED)
            if meter.header is not None and meter.header.boot > self._last[0]:
                self._back_ns = meter.arrived_ns
        return count

    def _all_speak(self) -> bool:
        self._take(0.05)
        return all(self.view.meter(device).frames for device in METERS)

    def _kill(self) -> None:
        self._killed_ns = time.time_ns()
        self._household.children[INTERRUPTED].kill()
        header = self.view.meter(INTERRUPTED).header
        self._last = (header.boot, header.number) if header is not None else (0, 0)

    def _revive(self) -> None:
        self._revived_ns = time.time_ns()
        self._plant.start_agent(INTERRUPTED)

    def _reserve(self) -> float:
        """Return how much longer the meter stays away for both voices to notice [s]."""
        noticed = self._noticed("device") is not None and self._noticed("catalog") is not None
        return 0.0 if noticed else PATIENCE / 2

    def _noticed(self, voice: str) -> PresenceChange | None:
        if not self._killed_ns:
            return None
        heard = (change for change in self.view.presence_changes if change.time_ns >= self._killed_ns)
        return next((c for c in heard if (c.device, c.voice, c.present) == (INTERRUPTED, voice, False)), None)

    def _screen(self, width: int, height: int) -> Group:
        shown = max(2, height - ROOM)
        left = f"{max(0.0, self._seconds - self._now()):.0f} s left" if self._seconds else "Ctrl-C ends"
        return fleet_screen(
            self.view,
            self._subscriber.links,
            time.time_ns(),
            title=f"tresma demo, {left}",
            happened=[*self.happened()[-shown:], *self._own_deeds()],
            width=width,
        )

    def _own_deeds(self) -> list[str]:
        deeds = []
        if self._killed_ns:
            will, lease = self._noticed("device"), self._noticed("catalog")
            words = [
                f"{name} after {(change.time_ns - self._killed_ns) / 1e9:.2f} s"
                for name, change in (("last will", will), ("catalog", lease))
                if change is not None
            ]
            deeds.append(f"{INTERRUPTED} was killed with kill -9; noticed: {', '.join(words) or 'not yet'}")
        if self._revived_ns:
            deeds.append(f"{INTERRUPTED} was started again" + (", and is back" if self._back_ns else ""))
        return deeds

    def _report(self, now: float) -> None:
        self._report_at = now + REPORT
        say(f"{now:.0f} s")
        for line in [*lines(self.view, time.time_ns()), *self.happened()[self._told :], *self._own_deeds()]:
            say(f"  {line}")
        self._told = len(self.view.occurrences)


class _NoScreen:
    """Stands where a live table would, on something that is no terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


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
        story = Story(plant, household, subscriber, options.seconds)
        say(f"registering three meters ({', '.join(METERS)}) at {plant.catalog} and starting their agents")
        plant.register_meters()
        for device in METERS:
            plant.start_agent(device)
        say("waiting for the first frames")
        story.wait_for_frames()
        try:
            story.run(Console())
        except Stopped:
            if options.seconds:
                raise
        seconds = time.monotonic() - story.began
        say("stopping the meters")
        plant.stop_agents()
        story.settle()
        plant.stop_catalog()
        return _close(story, subscriber, seconds)


def _close(story: Story, subscriber: Subscriber, seconds: float) -> int:
    say()
    happened = story.happened()
    if happened:
        say("what happened:")
        for line in happened[:LISTED]:
            say(f"  {line}")
        if len(happened) > LISTED:
            say(f"  and {len(happened) - LISTED} more")
    interruption = story.interruption()
    for line in summary(story.view, interruption, seconds):
        say(line)
    wrong = faults(story.view, interruption, subscriber.overflowed)
    say("all went well" if not wrong else "not all went well:")
    for line in wrong:
        say(f"  - {line}")
    return 1 if wrong else 0


def say(text: str = "") -> None:
    """Tell the reader."""
    with suppress(BrokenPipeError):  # whoever read along has gone; there is still a house to tidy
        print(text, flush=True)


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
