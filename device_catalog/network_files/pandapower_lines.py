"""
Lines and transformers of a pandapower net as those of a network document.

Where it stands: a part of `pandapower_import`. Lines become line types with sequence data, shared by all that are built
alike; parallel systems are one line. Transformers keep their vector group, clock number and tap.
"""

import math
from typing import Any

from algorithms.api.network_equipment import (
    Branch,
    Grounding,
    GroundingKind,
    LineType,
    SequenceImpedance,
    TapChanger,
    Transformer,
)
from algorithms.api.network_quantities import LARGEST_IMPEDANCE_PER_METRE
from device_catalog.network_files.frames import Row, has, name_of, number, text, volts
from device_catalog.network_files.imported import Ids, Remarks

ZERO_SEQUENCE = (4.0, 3.5)
"""R0/R1 and X0/X1 where a line's zero sequence is not known: a four-core cable's, about."""

LEAST_REACTANCE = 1e-9
"""Taken for a line without any [ohm/m]."""

LEAST_SHORT_CIRCUIT, USUAL_SHORT_CIRCUIT, LARGEST_SHORT_CIRCUIT = 0.002, 0.1, 0.5
"""Short-circuit voltages that can be, and one that is usual [1]."""

MAGNETISING = "magnetising admittance"


class Lines:
    """
    Line types and branches of one net.

    Parameters
    ----------
    frequency : float
        [Hz]
    ids : Ids
    remarks : Remarks
    """

    def __init__(self, frequency: float, ids: Ids, remarks: Remarks) -> None:
        self.types: list[LineType] = []
        self._omega = 2 * math.pi * frequency
        self._ids = ids
        self._remarks = remarks
        self._known: dict[tuple[Any, ...], str] = {}

    def branch(self, row: Row, name: str, ends: tuple[str, str]) -> Branch | None:
        """Give the branch of a row, or nothing where it has no length."""
        length = round(number(row, "length_km") * 1e3, 9)
        if length <= 0:
            self._remarks.left_out("line", "it has no length", [name_of(row, "line")])
            return None
        sequence, times = self._stretched(row, self._sequence(row))
        return Branch(
            id=name,
            name=text(row, "name") if text(row, "name") != name else "",
            from_node=ends[0],
            to_node=ends[1],
            length=length * times,
            line_type=self._type(row, sequence),
        )

    def _stretched(self, row: Row, sequence: SequenceImpedance) -> tuple[SequenceImpedance, int]:
        """Make a line longer that has more impedance than any conductor, as lines of some test cases have."""
        per_metre = abs(complex(sequence.r1, sequence.x1))
        if per_metre <= LARGEST_IMPEDANCE_PER_METRE:
            return sequence, 1
        times = math.ceil(2 * per_metre / LARGEST_IMPEDANCE_PER_METRE)
        why = "no conductor has so much impedance in so little length: made longer, their impedance being the same"
        self._remarks.changed("length of lines", why, [name_of(row, "line")])
        fields = {field: getattr(sequence, field) / times for field in ("r1", "x1", "r0", "x0", "b1", "b0")}
        return SequenceImpedance(**fields), times

    def _type(self, row: Row, sequence: SequenceImpedance) -> str:
        parallel = max(number(row, "parallel", 1.0), 1.0)
        rating = number(row, "max_i_ka") * number(row, "df", 1.0) * parallel * 1e3
        rated = rating if 2.0 <= rating < 90e3 else None  # pandapower's way to say "not known" is 99999 kA
        key = (text(row, "std_type"), sequence, rated)
        if key not in self._known:
            name = text(row, "std_type")
            kind = self._ids.take(name, "type", f"type-{len(self.types) + 1}")
            self._known[key] = kind
            self.types.append(
                LineType(id=kind, name=name if name != kind else "", phases="ABC", sequence=sequence, rating=rated)
            )
        return self._known[key]

    def _sequence(self, row: Row) -> SequenceImpedance:
        name = [name_of(row, "line")]
        parallel = max(number(row, "parallel", 1.0), 1.0)
        r1, x1, c1 = (number(row, f"{field}_per_km") for field in ("r_ohm", "x_ohm", "c_nf"))
        if has(row, "r0_ohm_per_km", "x0_ohm_per_km"):
            r0, x0, c0 = (number(row, f"{field}_per_km") for field in ("r0_ohm", "x0_ohm", "c0_nf"))
        else:
            r0, x0 = ZERO_SEQUENCE[0] * r1, ZERO_SEQUENCE[1] * x1
            c0 = c1 if text(row, "type") == "cs" else 0.6 * c1
            self._remarks.assumed(
                "zero sequence of lines",
                f"not in the file: R0 = {ZERO_SEQUENCE[0]:g} R1, X0 = {ZERO_SEQUENCE[1]:g} X1, C0 = C1 of cables, 0.6 "
                "C1 of others; balanced voltages do not depend on it",
                name,
            )
        if number(row, "g_us_per_km"):
            self._remarks.left_out("shunt conductance of lines", "line types by sequence have none", name)
        if x1 <= 0 or x0 <= 0:
            least = f"0 in the file, taken as {LEAST_REACTANCE:g} ohm/m"
            self._remarks.assumed("reactance of lines", least, name)
        shunt = self._omega * parallel * 1e-12
        return SequenceImpedance(
            r1=r1 / parallel / 1e3,
            x1=max(x1 / parallel / 1e3, LEAST_REACTANCE),
            r0=r0 / parallel / 1e3,
            x0=max(x0 / parallel / 1e3, LEAST_REACTANCE),
            b1=c1 * shunt,
            b0=c0 * shunt,
        )


def transformer(row: Row, name: str, ends: tuple[str, str], remarks: Remarks) -> Transformer:
    """Give the transformer of a row."""
    called = [name_of(row, "trafo")]
    parallel = max(number(row, "parallel", 1.0), 1.0)
    power = number(row, "sn_mva") * 1e6 * parallel
    rated = volts(row, "vn_hv_kv"), volts(row, "vn_lv_kv")
    base = rated[0] ** 2 / power
    series = _impedance(row, "vk_percent", "vkr_percent") * base
    group = _vector_group(row, remarks)
    zero, magnetising = _zero_sequence(row, group, series, base)
    active = number(row, "pfe_kw") * 1e3 * parallel
    apparent = max(abs(number(row, "i0_percent")) / 100 * power, active)
    if apparent:
        why = "in the document it stands at the higher voltage, in pandapower in the middle"
        remarks.changed(f"{MAGNETISING} of transformers", why, called)
    short_circuit = abs(series) / base
    if not LEAST_SHORT_CIRCUIT <= short_circuit <= LARGEST_SHORT_CIRCUIT and rated[0] != rated[1]:
        power *= USUAL_SHORT_CIRCUIT / short_circuit
        why = f"{100 * short_circuit:.3g} % is no short-circuit voltage: as if it were 10 %, impedances being the same"
        remarks.changed("rated power of transformers", why, called)
    tap = _tap(row, remarks)
    return Transformer(
        id=name,
        name=text(row, "name") if text(row, "name") != name else "",
        from_node=ends[0],
        to_node=ends[1],
        vector_group=group,
        rated_power=power,
        rated_voltage=rated,
        r=series.real,
        x=series.imag,
        r0=zero.real if zero else None,
        x0=zero.imag if zero else None,
        r0m=magnetising.real if magnetising else None,
        x0m=magnetising.imag if magnetising else None,
        g=active / rated[0] ** 2,
        b=-math.sqrt(apparent**2 - active**2) / rated[0] ** 2,
        from_grounding=Grounding(kind=GroundingKind.SOLID) if group.startswith(("YN", "ZN")) else None,
        to_grounding=_star_point(row) if group.rstrip("0123456789").endswith("n") else None,
        tap=tap,
    )


def _impedance(row: Row, whole: str, active: str) -> complex:
    """Give a short-circuit impedance [1]."""
    z, r = number(row, whole) / 100, number(row, active) / 100
    return complex(r, math.sqrt(max(z**2 - r**2, 0.0)))


def _vector_group(row: Row, remarks: Remarks) -> str:
    clock = round(number(row, "shift_degree") / 30) % 12
    stated = text(row, "vector_group").rstrip("0123456789")
    windings = stated or ("Dyn" if clock % 2 else "YNyn")
    if not stated:
        why = "not in the file: Dyn where the phase shift is an odd multiple of 30 degrees, YNyn elsewhere"
        remarks.assumed("vector group of transformers", why, [name_of(row, "trafo")])
    odd = sum(letter in "DdZz" for letter in windings) % 2
    if odd != clock % 2:
        wanted = (clock + 1) % 12
        why = f"{windings}{clock} does not exist; taken as {windings}{wanted}, which turns voltages by 30 degrees"
        remarks.changed("clock number of transformers", why, [name_of(row, "trafo")])
        clock = wanted
    return f"{windings}{clock}"


def _zero_sequence(row: Row, group: str, series: complex, base: float) -> tuple[complex, complex]:
    """Give the zero-sequence impedances that pandapower calculates with [ohm]; 0 for what is as the positive one."""
    if not has(row, "vk0_percent", "vkr0_percent"):
        return 0j, 0j
    own = _impedance(row, "vk0_percent", "vkr0_percent") * base or series
    if not has(row, "mag0_percent", "si0_hv_partial"):
        return own, 0j
    rx, share = number(row, "mag0_rx"), number(row, "si0_hv_partial", 0.9)
    size = abs(own) * number(row, "mag0_percent") / 100 / math.sqrt(rx**2 + 1)
    core = complex(rx * size, size)
    if group.startswith("D"):  # the delta closes the circuit of the one side, and the core lies across
        return (1 - share) * own + (share * own * core / (share * own + core) if core else 0j), 0j
    return own, core


def _star_point(row: Row) -> Grounding:
    r, x = number(row, "rn_ohm"), number(row, "xn_ohm")
    if not r and not x:
        return Grounding(kind=GroundingKind.SOLID)
    kind = GroundingKind.RESISTANCE if r >= abs(x) else GroundingKind.REACTANCE
    return Grounding(kind=kind, r=r, x=x)


def _tap(row: Row, remarks: Remarks) -> TapChanger | None:
    side, called = text(row, "tap_side"), [name_of(row, "trafo")]
    step = number(row, "tap_step_percent") / 100
    if number(row, "tap_step_degree") and number(row, "tap_pos") != number(row, "tap_neutral"):
        remarks.left_out("phase shift of taps", "the document knows taps that change the ratio only", called)
    if side not in ("hv", "lv") or not step or not has(row, "tap_pos"):
        return None
    position, neutral = number(row, "tap_pos"), number(row, "tap_neutral")
    if not position.is_integer() or not neutral.is_integer():
        part = math.gcd(*(round(1000 * value) for value in (position, neutral, 1.0))) / 1000
        remarks.changed("tap positions", f"they are no whole numbers; counted in {part:g} of a step", called)
        position, neutral, step = position / part, neutral / part, step * part
        lowest, highest = position, position
    else:
        lowest, highest = number(row, "tap_min", position), number(row, "tap_max", position)
    return TapChanger(
        end=("hv", "lv").index(side),
        position=round(position),
        step=step,
        neutral=round(neutral),
        lowest=round(min(lowest, position, neutral)),
        highest=round(max(highest, position, neutral)),
        regulates=bool(row.get("oltc") or False),
    )
