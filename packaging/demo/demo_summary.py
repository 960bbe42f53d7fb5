"""
What the demo says at its end, and whether all went well.

Everything is measured by the demo's own watcher, who was there before the meters and counts their messages by
(device, boot, number). What a killed meter had not measured is not lost: it was never there. What it had measured and
kept must arrive after its return: the new boot says up to which number the old one is known, and all of those count.
"""

from dataclasses import dataclass

from demo_plant import INTERRUPTED, METERS

from device_catalog.operator.fleet import FleetView, PresenceChange


@dataclass(frozen=True, slots=True)
class Interruption:
    """
    What was done to the interrupted meter, and who noticed when.

    Attributes
    ----------
    killed_ns, revived_ns, back_ns : int
        Killed, started again, and first frame after that [ns UTC]; 0 for not yet.
    boot, number : int
        Its last message before the kill.
    will, lease : PresenceChange or None
        The last will, and the catalog's word.
    """

    killed_ns: int
    revived_ns: int
    back_ns: int
    boot: int
    number: int
    will: PresenceChange | None
    lease: PresenceChange | None


def faults(view: FleetView, interruption: Interruption | None, overflowed: int) -> list[str]:
    """Say everything that did not go as it should; empty when all went well. None for no interruption to judge."""
    found = []
    for device in METERS:
        meter = view.meter(device)
        if not meter.frames:
            found.append(f"{device}: no frame arrived")
        if meter.missing:
            found.append(f"{device}: {meter.missing} messages are missing")
        if meter.duplicates:
            found.append(f"{device}: {meter.duplicates} messages came twice")
    if view.unreadable:
        found.append(f"{view.unreadable} messages could not be read; the last: {view.last_unreadable}")
    if overflowed:
        found.append(f"the watcher was too slow for {overflowed} messages")
    return found + (_faults_of(interruption) if interruption is not None else [])


def _faults_of(interruption: Interruption) -> list[str]:
    if not interruption.killed_ns:
        return ["the demo ended before a meter was killed"]
    found = []
    if interruption.will is None:
        found.append("the killed meter's last will did not arrive")
    if interruption.lease is None:
        found.append("the catalog did not notice the killed meter")
    if not interruption.back_ns:
        found.append("the killed meter did not come back")
    return found


def summary(view: FleetView, interruption: Interruption, seconds: float) -> list[str]:
    """Say what was seen, a line each."""
    said = [f"after {seconds:.0f} s:"]
    for device in METERS:
        meter = view.meter(device)
        latency = meter.latency()
        delay = f", latency p50 {latency.median * 1e3:.0f} ms p99 {latency.p99 * 1e3:.0f} ms" if latency else ""
        said.append(
            f"  {device:<12} {meter.frames:>6} frames, lost {meter.missing}, duplicates {meter.duplicates}{delay}"
        )
    said.append("  (latency from the middle of the 60 ms window to arrival, so 30 ms of it are half a window)")
    return said + _told(view, interruption)


def _told(view: FleetView, interruption: Interruption) -> list[str]:
    killed = interruption.killed_ns
    if not killed:
        return ["  ended before a meter was killed"]
    will, lease = _after(killed, interruption.will), _after(killed, interruption.lease)
    said = [f"  {INTERRUPTED} was killed with kill -9; noticed by its last will {will}, by the catalog {lease}"]
    if interruption.back_ns:
        away = (interruption.back_ns - killed) / 1e9
        start = (interruption.back_ns - interruption.revived_ns) / 1e9
        numbers = view.meter(INTERRUPTED).numbers.get((interruption.boot, ""))
        last = numbers.highest if numbers is not None else interruption.number
        lost = numbers.missing if numbers is not None else 0
        said.append(
            f"  its boot {interruption.boot} ended with message {last}; up to there {lost or 'none'} are missing"
        )
        said.append(
            f"  it was back {start:.1f} s after its restart; for {away:.1f} s it measured nothing, and says so by its "
            "boot number"
        )
    return said


def _after(killed_ns: int, change: PresenceChange | None) -> str:
    return "never" if change is None else f"after {(change.time_ns - killed_ns) / 1e9:.2f} s"
