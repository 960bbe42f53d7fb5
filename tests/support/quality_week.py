"""A week of voltage quality as the messages of a meter: made up, but as an evening peak and a few dips would look."""

import json
import math
import random
from collections.abc import Iterator
from typing import Any

MONDAY_NS = 1_763_337_600 * 1_000_000_000
"""2025-11-17, midnight UTC."""
TEN_MINUTES_NS = 600 * 1_000_000_000


def text(time_ns: int) -> str:
    """Write a time as messages do."""
    from algorithms.api.wire import time_text

    return time_text(time_ns)


def message(number: int, device: str, **fields: Any) -> bytes:
    return json.dumps(
        {"device": device, "boot": 1, "session": 1, "number": number, **fields}, separators=(",", ":")
    ).encode()


def interval(number: int, *, level: float = 1.0, third: float = 0.02, **changes: Any) -> dict[str, Any]:
    """Give the payload of one interval of ten minutes."""
    noise = random.Random(number)
    hour = number / 6 % 24
    peak = math.exp(-((hour - 19) ** 2) / 8)
    voltage = {}
    for place, phase in enumerate("ABC"):
        rms = 230.0 * level * (1.02 - 0.05 * peak - 0.006 * place + 0.004 * noise.gauss(0, 1))
        harmonics = [rms] + [rms * 0.0005 * (1 + noise.random()) for _ in range(49)]
        for order, share in ((3, third), (5, 0.025 + 0.015 * peak), (7, 0.018), (11, 0.01), (13, 0.007), (15, 0.002)):
            harmonics[order - 1] = rms * share * (1 + 0.1 * noise.random())
        distortion = math.sqrt(sum(value * value for value in harmonics[1:40])) / rms
        pst = 0.25 + 0.3 * peak + 0.1 * noise.random()
        voltage[phase] = {"rms": rms, "distortion": distortion, "harmonics": harmonics, "pst": pst}
    return {
        "interval": "10-min",
        "duration": 600.0,
        "declared_voltage": 230.0,
        "nominal_frequency": 50.0,
        "windows": 3000,
        "not_counted": 0,
        "flagged": {},
        "missing": 0.0,
        "frequency_10s": [50.0 + 0.02 * noise.gauss(0, 1) for _ in range(60)],
        "voltage": voltage,
        "unbalance": {"u2": 0.006 + 0.004 * peak, "u0": 0.004},
        "not_measured": [],
        **changes,
    }


def week(device: str = "m-1", count: int = 1008, **changes: Any) -> Iterator[bytes]:
    """Give the lines of a week: ten minutes, two hours, four events; Tuesday noon is missing."""
    number = 0
    for k in range(count):
        if 210 <= k < 220:
            continue
        end_ns = MONDAY_NS + (k + 1) * TEN_MINUTES_NS
        payload = interval(k, **changes)
        if k in {100, 300, 500}:
            payload |= {"flagged": {"dip": 3}, "not_counted": 3}
        number += 1
        yield message(number, device, schema="result/1", time=text(end_ns), content="quality/1", payload=payload)
        if (k + 1) % 12 == 0:
            plt = {phase: {"rms": 230.0, "plt": 0.35 + 0.02 * (k // 12 % 7)} for phase in "ABC"}
            two = {**payload, "interval": "2-h", "duration": 7200.0, "voltage": plt, "flagged": {}, "not_counted": 0}
            number += 1
            yield message(number, device, schema="result/1", time=text(end_ns), content="quality/1", payload=two)
    for place, (kind, after, seconds, voltage, phases) in enumerate(
        (
            ("voltage-dip", 100, 0.08, 0.72, ["A"]),
            ("voltage-dip", 300, 0.32, 0.35, ["A", "B", "C"]),
            ("voltage-swell", 400, 0.6, 1.13, ["C"]),
            ("interruption", 500, 2.4, 0.01, ["A", "B", "C"]),
            ("rapid-voltage-change", 600, 0.4, 0.06, ["B"]),
        )
    ):
        start_ns = MONDAY_NS + after * TEN_MINUTES_NS + 123_456_789_000
        names = {"voltage-swell": "highest_voltage", "rapid-voltage-change": "largest_change"}
        evidence = {
            names.get(kind, "residual_voltage"): voltage * 230.0,
            "declared_voltage": 230.0,
            "duration": seconds,
        }
        yield message(
            number + 1 + place,
            device,
            schema="event/1",
            kind=kind,
            terminal=device,
            start=text(start_ns),
            end=text(start_ns + round(seconds * 1e9)),
            severity="warning",
            phases=phases,
            evidence=evidence,
        )
