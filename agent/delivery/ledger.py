"""
What became of messages that never arrived: dropped to keep the limits, or refused by a broker. Pure.

Every number is accounted for: what is entered here is written with the next commit and published as a result
(``drop-report/1``), whose own message and the emptied ledger become durable in one transaction.
"""

from typing import Any, Literal

import msgspec

from agent.delivery.messages import Range, joined

What = Literal["dropped", "refused"]


class Ledger:
    """
    Ranges not reported yet, by ``BROKER/dropped`` and ``BROKER/refused``.

    Attributes
    ----------
    changed : bool
        Whether it differs from what the last commit took.
    """

    def __init__(self, rows: list[tuple[str, Range]]) -> None:
        self.changed = False
        self._ranges: dict[str, list[Range]] = {}
        self._reasons: dict[str, str] = {}
        for name, item in rows:
            self._ranges.setdefault(name, []).append(item)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def enter(self, broker: str, what: What, ranges: list[Range], reason: str = "") -> None:
        """Add what became of messages of `broker`."""
        if not ranges:
            return
        name = f"{broker}/{what}"
        self._ranges[name] = joined([*self._ranges.get(name, ()), *ranges])
        self.changed = True
        if reason:
            self._reasons[broker] = reason

    def rows(self) -> list[tuple[str, Range]]:
        """Give all of it, for the spool."""
        return [(name, item) for name, ranges in self._ranges.items() for item in ranges]

    def report(self) -> dict[str, Any]:
        """Give all of it for publication, and begin an empty one."""
        payload = {
            "ranges": [
                {"broker": name.partition("/")[0], "what": name.partition("/")[2], **msgspec.structs.asdict(item)}
                for name, item in self.rows()
            ],
            "reasons": self._reasons,
        }
        self._ranges, self._reasons, self.changed = {}, {}, True
        return payload
