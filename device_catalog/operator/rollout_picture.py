"""Draws rollouts: lines for a terminal or a log, the same either way (pure but for the width)."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from device_catalog.contract.rollout_progress import Comparison, Counts, DeviceProgress, RolloutDetail, RolloutSummary
from device_catalog.contract.rollout_rules import amount_of
from device_catalog.contract.rollouts import Back, RolloutState, Selector
from device_catalog.operator.output import printable

BAR = 40
"""Width of a bar [characters]."""

_styles = {
    RolloutState.RUNNING: "cyan",
    RolloutState.PAUSED: "yellow",
    RolloutState.ABORTED: "red",
    RolloutState.FINISHED: "green",
    RolloutState.FAILED: "bold red",
}


_UNDER_WAY = (RolloutState.RUNNING, RolloutState.PAUSED)
_TAKEN_BACK = (RolloutState.ABORTED, RolloutState.FAILED)


def duration(seconds: float) -> str:
    """
    Write a duration.

    >>> [duration(seconds) for seconds in (0.5, 90, 3600, 5400, 172800)]
    ['0.5 s', '90 s', '1 h', '1 h 30 min', '2 d']
    """
    if seconds < 120:
        return f"{seconds:g} s"
    parts = []
    rest = round(seconds)
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def selection(to: Selector) -> str:
    """Say which devices a rollout is for."""
    words = [f"group {', '.join(to.groups)}"] if to.groups else []
    if to.devices:
        words.append(to.devices[0] if len(to.devices) == 1 else f"{len(to.devices)} devices by name")
    words += [
        f"{name} {getattr(to, name)}" for name in ("kind", "tenant", "network", "area", "using") if getattr(to, name)
    ]
    return ", ".join(words)


def started(detail: RolloutDetail) -> list[str]:
    """Say what a rollout that has begun is going to do."""
    summary, request = detail.summary, detail.request
    counts = summary.counts
    away = f" ({counts.away} away at present; they get it when they are back)" if counts.away else ""
    lines = [f"{summary.rollout} brings {summary.algorithm} {summary.version} to {_many(counts.members)}{away}"]
    if request.shadow is not None:
        then = "promoted by itself if both are equal" if request.shadow.promote_when_equal else "then you decide"
        lines.append(f"  first it runs beside the version in force for {duration(request.shadow.soak)}, {then}")
    for number, stage in enumerate(summary.stages, 1):
        devices = max(1, min(counts.members, int(stage.percent * counts.members / 100 + 1e-9)))
        allowed = amount_of(request.max_failures, devices)
        tolerated = "no failure" if not allowed else f"at most {allowed} failure{'s' if allowed > 1 else ''}"
        watched = f", then watched for {duration(stage.soak)}" if stage.soak else ""
        lines.append(f"  stage {number}: {stage.percent:g} %, {_many(devices)}, {tolerated}{watched}")
    first = max(1, int(summary.stages[0].percent * counts.members / 100 + 1e-9))
    escape = 0.9**first
    if escape > 0.05 and len(summary.stages) > 1:
        lines.append(
            f"  a fault that strikes one device in ten escapes a first stage of {first} in {escape:.0%} of cases"
        )
    return lines


def picture(detail: RolloutDetail, now: datetime, *, devices: bool = True) -> Group:
    """Draw all about a rollout."""
    summary = detail.summary
    parts: list[RenderableType] = [_title(summary)]
    if summary.reason:
        parts.append(Text(f"  {printable(summary.reason)}", style=_styles[summary.state]))
    if summary.shadowing and summary.state in _UNDER_WAY:
        parts.append(Text(f"  {_shadow_word(detail, now)}", style="cyan"))
    parts.append(_stages(detail, now))
    parts.append(Text(f"  {_sentence(summary)}"))
    comparison = detail.comparison
    if comparison is not None and (summary.shadowing or comparison.devices):
        parts += [Text(line, style=style) for line, style in _compared(comparison)]
    if devices and detail.troubled:
        parts.append(Text("  in trouble, newest first:", style="bold"))
        for item in detail.troubled:
            parts += [Text(line, style=style) for line, style in _trouble(item)]
    if summary.state is RolloutState.RUNNING and summary.shadowing and comparison is not None:
        order = f"tresma rollout promote {summary.rollout}"
        parts.append(Text(f"  begin the stages with: {order}{'' if comparison.verdict == 'equal' else ' --anyway'}"))
    return Group(*parts)


def progress_line(summary: RolloutSummary) -> str:
    """Say in a line where a rollout stands, for a log."""
    where = "shadow" if summary.shadowing else f"stage {summary.stage + 1} of {len(summary.stages)}"
    reason = f": {printable(summary.reason)}" if summary.reason else ""
    return f"{summary.rollout} {summary.state.value}, {where}, {_sentence(summary)}{reason}"


def listing(rollouts: Sequence[RolloutSummary], now: datetime) -> Table:
    """Draw a list."""
    table = Table(pad_edge=False, box=None)
    for heading in ("rollout", "version", "to", "state", "stage", "done", "failed", "waiting", "begun", "by"):
        table.add_column(heading, no_wrap=heading != "to")
    for item in rollouts:
        counts = item.counts
        stage = "shadow" if item.shadowing else f"{item.stage + 1} of {len(item.stages)}"
        failed = counts.failed + counts.overdue
        table.add_row(
            item.rollout,
            f"{item.algorithm} {item.version}",
            selection(item.to),
            Text(item.state.value, style=_styles[item.state]),
            stage,
            f"{counts.back} back" if item.state in _TAKEN_BACK else f"{counts.done} of {counts.members}",
            Text(str(failed), style="bold red" if failed else ""),
            "" if item.state in _TAKEN_BACK else str(max(0, counts.members - _told(counts))),
            f"{duration(max(0.0, round((now - item.created).total_seconds())))} ago",
            printable(item.author),
        )
    return table


def told_table(told: Sequence[DeviceProgress]) -> Table:
    """Draw the devices of a rollout."""
    table = Table(pad_edge=False, box=None)
    for heading in ("device", "state", "since (UTC)", "stage", "step", "back", "reason"):
        table.add_column(heading, no_wrap=heading != "reason")
    words = {Back.NO: "", Back.GOING: "on the way", Back.THERE: "yes"}
    for item in told:
        stage = "shadow" if item.stage < 0 else str(item.stage + 1)
        since = f"{item.since:%m-%d %H:%M:%S}"
        table.add_row(item.device, item.state.value, since, stage, item.step, words[item.back], printable(item.reason))
    return table


def _title(summary: RolloutSummary) -> Text:
    title = Text(f"{summary.rollout}  {summary.algorithm} {summary.version} to {selection(summary.to)}  ", style="bold")
    title.append(summary.state.value, style=_styles[summary.state])
    return title


def _stages(detail: RolloutDetail, now: datetime) -> Table:
    summary, counts = detail.summary, detail.summary.counts
    table = Table(pad_edge=True, box=None, show_header=False, padding=(0, 0, 0, 2))
    told = _told(counts)
    before = 0
    ended = summary.state is RolloutState.FINISHED
    for number, stage in enumerate(summary.stages):
        devices = max(1, min(counts.members, int(stage.percent * counts.members / 100 + 1e-9)))
        inside = max(0, min(told, devices) - before) if not summary.shadowing else 0
        share = inside / max(1, devices - before) if devices > before else float(number <= summary.stage)
        present = number == summary.stage and not summary.shadowing and not ended
        word = _stage_word(summary, number, stage.soak, now)
        style = "bold" if present else "dim" if number > summary.stage and not ended else ""
        table.add_row(
            Text(f"stage {number + 1}", style=style),
            Text(f"{stage.percent:g} %", style=style),
            bar(share, counts if present else None),
            Text(f"{inside + before if inside or present else 0} of {devices}" if inside or present else f"{devices}"),
            Text(word, style=style),
        )
        before = devices
    return table


def bar(share: float, counts: Counts | None = None) -> Text:
    """Draw a bar; the part that failed is red."""
    filled = round(max(0.0, min(1.0, share)) * BAR)
    told = _told(counts) if counts else 0
    failed = counts.failed + counts.overdue if counts else 0
    chosen = counts.chosen if counts else 0
    red = min(filled, max(1, round(filled * failed / told))) if failed and told and filled else 0
    open_part = min(filled - red, round(filled * chosen / told)) if told else 0
    text = Text("█" * (filled - red - open_part), style="green")
    text.append("█" * red, style="red")
    text.append("▒" * open_part, style="cyan")
    text.append("·" * (BAR - filled), style="dim")
    return text


def _stage_word(summary: RolloutSummary, number: int, soak: float, now: datetime) -> str:
    if summary.state is RolloutState.FINISHED or (number < summary.stage and not summary.shadowing):
        return "done"
    if number > summary.stage or summary.shadowing:
        return "to come"
    if summary.state in (RolloutState.FAILED, RolloutState.ABORTED):
        return f"{summary.state.value}, all go back"
    if summary.soaking_since is not None:
        watched = max(0.0, round((now - summary.soaking_since).total_seconds()))
        return f"watched for {duration(watched)} of {duration(soak)}"
    return summary.state.value


def _shadow_word(detail: RolloutDetail, now: datetime) -> str:
    """Say how long the version has run beside the one in force."""
    since, shadow = detail.summary.soaking_since, detail.request.shadow
    word = "runs beside the version in force, whose records alone count"
    if since is None or shadow is None:
        return word
    watched = max(0.0, round((now - since).total_seconds()))
    return f"{word}; compared for {duration(watched)} of {duration(shadow.soak)}"


def _sentence(summary: RolloutSummary) -> str:
    counts = summary.counts
    if summary.state in _TAKEN_BACK:
        touched = counts.back + counts.going_back
        words = [f"{_many(touched)} had been told, {counts.back} back on what they had"]
        words += [f"{counts.going_back} on the way"] if counts.going_back else []
    else:
        words = [f"{counts.done} of {_many(counts.members)} {'compare' if summary.shadowing else 'done'}"]
    for name, word in (
        ("chosen", "under way"),
        ("failed", "failed"),
        ("overdue", "overdue"),
        ("superseded", "taken over by a newer rollout"),
        ("overridden", "configured otherwise by a person"),
    ):
        count = getattr(counts, name)
        if count and not (name == "chosen" and summary.state in _TAKEN_BACK):
            words.append(f"{count} {word}")
    waiting = counts.members - _told(counts)
    if waiting > 0 and summary.state not in _TAKEN_BACK:
        words.append(f"{waiting} waiting{f' ({counts.away} away)' if counts.away else ''}")
    if counts.going_back and summary.state not in _TAKEN_BACK:
        words.append(f"{counts.going_back} on the way back")
    return ", ".join(words)


def _compared(comparison: Comparison) -> list[tuple[str, str]]:
    styles = {"equal": "bold green", "different": "bold red"}
    everything = comparison.compared + comparison.missing + comparison.extra
    differences = f"{comparison.differing} differ, {comparison.missing} missing, {comparison.extra} extra"
    lines = [
        (f"  verdict: {comparison.verdict}", styles.get(comparison.verdict, "yellow")),
        (f"    {everything} records on {_many(comparison.devices)}: {differences}", ""),
    ]
    if comparison.largest:
        lines.append((f"    largest difference {comparison.largest:.3g}, {printable(comparison.where)}", ""))
    ratios = (
        f"{comparison.processor_ratio:.2f} times the processor time, {comparison.memory_ratio:.2f} times the memory"
    )
    lines.append((f"    at most {ratios}, {comparison.crashes} crashes", ""))
    lines += [(f"    - {printable(reason)}", "") for reason in comparison.reasons]
    return lines


def _trouble(item: DeviceProgress) -> list[tuple[str, str]]:
    back = {Back.GOING: ", goes back", Back.THERE: ", is back on what it had"}.get(item.back, "")
    first = (
        f"    {item.device}  {item.state.value} at {item.since:%Y-%m-%d %H:%M:%S} UTC{back}: {printable(item.reason)}"
    )
    return [(first, "red"), *((f"      | {printable(line)}", "dim") for line in item.log[-3:])]


def _told(counts: Counts) -> int:
    return counts.chosen + counts.done + counts.failed + counts.overdue + counts.overridden


def _many(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"
