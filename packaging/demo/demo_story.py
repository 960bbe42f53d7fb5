"""
The forty seconds themselves: watch the meters, kill one, see it noticed, bring it back.

Whatever the story says comes from its own watcher's view of what the brokers deliver.
"""

import math
import time

import demo_grid
from demo_plant import INTERRUPTED, LEASE, METERS, REPLAYING, Plant
from demo_processes import Household
from demo_releases import Releases
from demo_summary import Interruption
from demo_words import lines_taken, newest, occurrence_lines, say
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from device_catalog.operator.fleet import FleetView, PresenceChange
from device_catalog.operator.occurrences import Occurrence
from device_catalog.operator.subscriber import Subscriber
from device_catalog.operator.table import WIDE, fleet_screen, lines

STARTING = 60.0
"""Longest time for the first frame of every meter [s]; a small Raspberry Pi takes a while to load numpy."""

KILLED_AT, BACK_AT = 0.4, 0.6
"""When the interrupted meter is killed and started again, as shares of the demo."""

ENDLESS = 40.0
"""What those shares refer to in a demo that runs on [s]."""

PATIENCE = 45.0
"""How much longer than asked for the demo may take, for a meter or a release that is slow [s]."""

SETTLING = 3.0
"""How long messages may be under way after the meters have ended [s]."""

REDRAW, REPORT = 0.25, 4.0
"""Between two drawings of the table, and between two reports where there is no terminal [s]."""

HEADING, NARROW_LINES = 14, 5
"""Lines of the terminal above what happened: the demo's first words, title and headings; a meter where it is narrow."""


class Story:
    """
    What happens in a demo, and what is seen of it.

    Parameters
    ----------
    plant : Plant
    household : Household
    subscriber : Subscriber
    grid : Grid
        Whose states are compared with the truth.
    releases : Releases
    seconds : float
        0 to run on [s].
    """

    def __init__(
        self,
        plant: Plant,
        household: Household,
        subscriber: Subscriber,
        grid: demo_grid.Grid,
        *,
        releases: Releases,
        seconds: float,
    ) -> None:
        self.view = FleetView(first=1, nominal_voltage=plant.nominal_voltage)
        self.began = time.monotonic()
        self._plant, self._household, self._subscriber, self._seconds = plant, household, subscriber, seconds
        self._grid, self._releases = grid, releases
        self._killed_ns = self._revived_ns = self._back_ns = 0
        self._last = (0, 0)
        self._told: Occurrence | None = None
        self._deeds_told: list[str] = []
        self._report_at = 0.0

    def wait_for_frames(self) -> None:
        """Wait until every meter has said something."""
        self._household.wait_for(self._all_speak, "a first frame of every meter", STARTING)

    def wait_for_states(self) -> None:
        """Wait until every area of the grid has been estimated."""
        self._household.wait_for(self._all_estimated, "a first state of every area", STARTING)

    def run(self, console: Console) -> None:
        """Watch; kill a meter, see it noticed, bring it back; end when the time is over."""
        self.began = time.monotonic()
        self._releases.start()
        span = self._seconds or ENDLESS
        kill_at = KILLED_AT * span
        back_at = max(BACK_AT * span, kill_at + LEASE + 1.0)
        end = self._seconds or math.inf
        with Live(console=console, auto_refresh=False) if console.is_terminal else _NoScreen() as live:
            while (now := self._now()) < end or (not self._is_told and now < end + PATIENCE):
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

    def happened(self, after: Occurrence | None = None) -> list[str]:
        """Say what was seen to happen, oldest first; only what came after `after`, where that is still known."""
        return occurrence_lines(
            self.view.occurred_after(after), REPLAYING, self._plant.origin_ns, self._plant.facts.period
        )

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
                if demo_grid.concerns(arrival.topic):
                    self._grid.arrived(arrival.topic, arrival.payload)
                else:
                    self.view.arrived(arrival)
        if self._revived_ns and not self._back_ns:
            meter = self.view.meter(INTERRUPTED)
            if meter.header is not None and meter.header.boot > self._last[0]:
                self._back_ns = meter.arrived_ns
        return count

    @property
    def _is_told(self) -> bool:
        """Whether the killed meter is back and nothing more becomes of the releases."""
        return bool(self._back_ns) and self._releases.is_over

    def _all_speak(self) -> bool:
        self._take(0.05)
        return all(self.view.meter(device).frames for device in METERS)

    def _all_estimated(self) -> bool:
        self._take(0.05)
        return self._grid.is_estimated

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
        deeds = self._own_deeds()
        room = height - HEADING - (1 if width >= WIDE else NARROW_LINES) * len(self.view.meters)
        states = self._grid.lines()
        room -= 1 + lines_taken(states, width)
        left = f"{max(0.0, self._seconds - self._now()):.0f} s left" if self._seconds else "Ctrl-C ends"
        screen = fleet_screen(
            self.view,
            self._subscriber.links,
            time.time_ns(),
            title=f"tresma demo, {left}",
            happened=[*newest(self.happened(), width, room - lines_taken(deeds, width)), *deeds],
            width=width,
        )
        title = Text("state of the low-voltage grid, against the truth:", style="bold")
        return Group(screen, title, *(Padding(Text(line), (0, 0, 0, 2)) for line in states))

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
        return deeds + self._releases.lines()

    def _report(self, now: float) -> None:
        self._report_at = now + REPORT
        say(f"{now:.0f} s")
        deeds = self._own_deeds()
        new = deeds if deeds != self._deeds_told else []
        for line in [*lines(self.view, time.time_ns()), *self._grid.lines(), *self.happened(self._told), *new]:
            say(f"  {line}")
        self._deeds_told = deeds
        self._told = self.view.occurrences[-1] if self.view.occurrences else None


class _NoScreen:
    """Stands where a live table would, on something that is no terminal."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
