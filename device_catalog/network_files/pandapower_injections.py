"""
What draws and feeds power in a pandapower net, as loads and generators of a network document.

Where it stands: a part of `pandapower_import`. Signs become the document's: positive from the node into the equipment.
Loads that are partly of constant impedance or current become up to three loads, one for each exponent.
"""

from typing import Any

from algorithms.api.network_equipment import Connection, Generator, Load
from device_catalog.network_files.frames import Row, master_id, name_of, number, rows, text
from device_catalog.network_files.imported import Ids, Remarks

Powers = dict[str, float]

_parts = (("", 0.0), ("current", 1.0), ("impedance", 2.0))


class InjectionReader:
    """
    Loads and generators of one net, as they are read.

    Parameters
    ----------
    net : pandapowerNet
    nodes : dict
        Node of each bus.
    ids : Ids
    remarks : Remarks
    solved : bool
        Whether the net holds results of a power flow.
    """

    def __init__(self, net: Any, nodes: dict[Any, str], ids: Ids, remarks: Remarks, *, solved: bool) -> None:
        self.loads: list[Load] = []
        self.generators: list[Generator] = []
        self._net = net
        self._nodes = nodes
        self._ids = ids
        self._remarks = remarks
        self._solved = solved
        self._base = {bus["index"]: number(bus, "vn_kv") for bus in rows(net, "bus")}

    def read(self) -> None:
        """Read all tables of what draws or feeds."""
        for table, sign in (("load", 1.0), ("sgen", -1.0), ("storage", 1.0)):
            for row in self._there(table):
                self._balanced(row, table, sign)
        for table, sign in (("asymmetric_load", 1.0), ("asymmetric_sgen", -1.0)):
            for row in self._there(table):
                self._by_phase(row, table, sign)
        for row in self._there("motor"):
            self._motor(row)
        self._shunts()
        for row in self._there("gen"):
            if not row.get("slack"):
                self._holding_voltage(row)

    def _shunts(self) -> None:
        for row in self._there("shunt"):
            scale = (self._base[row["bus"]] / number(row, "vn_kv", self._base[row["bus"]])) ** 2 * 1e6
            scale *= number(row, "step", 1.0)
            self._impedance(row, "shunt", scale * number(row, "p_mw"), scale * number(row, "q_mvar"))
        for table in ("ward", "xward"):
            for row in self._there(table):
                power = 1e6 * number(row, "ps_mw"), 1e6 * number(row, "qs_mvar")
                self._add(row, table, _spread(power[0]), _spread(power[1]))
                self._impedance(row, table, 1e6 * number(row, "pz_mw"), 1e6 * number(row, "qz_mvar"))
        held = [name_of(row, "xward") for row in rows(self._net, "xward")]
        if held:
            self._remarks.left_out("voltage held by extended wards", "only their powers and impedances are kept", held)

    def _there(self, table: str) -> list[Row]:
        found = list(rows(self._net, table))
        off = [name_of(row, table) for row in found if not row.get("in_service", True)]
        if off:
            self._remarks.left_out(f"{table}", "out of service", off)
        there = [row for row in found if row.get("in_service", True)]
        return [row for row in there if row["bus"] in self._nodes]

    def _balanced(self, row: Row, table: str, sign: float) -> None:
        scale = sign * number(row, "scaling", 1.0) * 1e6
        p, q = scale * number(row, "p_mw"), scale * number(row, "q_mvar")
        share_p, share_q = (
            [number(row, f"const_{part}_{letter}_percent") / 100 for part in ("i", "z")] for letter in "pq"
        )
        parts_p, parts_q = (1 - sum(share_p), *share_p), (1 - sum(share_q), *share_q)
        for (suffix, exponent), of_p, of_q in zip(_parts, parts_p, parts_q, strict=True):
            if of_p or of_q or (not suffix and not p and not q):
                spread = _spread(of_p * p), _spread(of_q * q)
                self._add(row, table, *spread, suffix=suffix if of_p != 1 or of_q != 1 else "", exponent=exponent)

    def _by_phase(self, row: Row, table: str, sign: float) -> None:
        scale = sign * number(row, "scaling", 1.0) * 1e6
        delta = text(row, "type") == "delta"
        keys = ("AB", "BC", "CA") if delta else ("A", "B", "C")
        p = {key: scale * number(row, f"p_{phase}_mw") for key, phase in zip(keys, "abc", strict=True)}
        q = {key: scale * number(row, f"q_{phase}_mvar") for key, phase in zip(keys, "abc", strict=True)}
        connected = [key for key in keys if p[key] or q[key]] or list(keys)
        self._add(row, table, {key: p[key] for key in connected}, {key: q[key] for key in connected})

    def _motor(self, row: Row) -> None:
        efficiency = number(row, "efficiency_percent", 100.0) / 100
        loading = number(row, "loading_percent", 100.0) / 100
        p = 1e6 * number(row, "pn_mech_mw") * loading / efficiency * number(row, "scaling", 1.0)
        cosine = min(max(number(row, "cos_phi", 1.0), 1e-3), 1.0)
        self._add(row, "motor", _spread(p), _spread(p * (1 / cosine**2 - 1) ** 0.5))

    def _impedance(self, row: Row, table: str, p: float, q: float) -> None:
        if p or q:
            self._add(row, table, _spread(p), _spread(q), suffix="impedance" if table != "shunt" else "", exponent=2.0)

    def _holding_voltage(self, row: Row) -> None:
        why = "the document has generators of stated power: "
        why += "P and Q are those found by pandapower" if self._solved else "Q is taken as 0"
        self._remarks.changed("voltage held by generators", why, [name_of(row, "gen")])
        q = float(self._net.res_gen.q_mvar.at[row["index"]]) if self._solved else 0.0
        p = -1e6 * number(row, "p_mw") * number(row, "scaling", 1.0)
        self._add(row, "gen", _spread(p), _spread(-1e6 * q))

    def _add(self, row: Row, table: str, p: Powers, q: Powers, *, suffix: str = "", exponent: float = 0.0) -> None:
        """Add a load, or a generator where it feeds."""
        name = master_id(row)
        fields: dict[str, Any] = {
            "id": self._ids.take(f"{name}-{suffix}".strip("-") if name else "", table, f"{table}-{row['index']}"),
            "name": text(row, "name"),
            "node": self._nodes[row["bus"]],
            "p": p,
            "q": q,
            "connection": Connection.DELTA
            if len(next(iter(p))) == 2 or text(row, "type") == "delta"
            else Connection.WYE,
            "p_exponent": exponent,
            "q_exponent": exponent,
            "rated_power": number(row, "sn_mva") * 1e6 or None,
        }
        if fields["connection"] == Connection.DELTA and len(next(iter(p))) == 1:
            pairs = {"A": "AB", "B": "BC", "C": "CA"}
            fields |= {"p": {pairs[key]: p[key] for key in p}, "q": {pairs[key]: q[key] for key in q}}
        if fields["name"] == fields["id"]:
            fields["name"] = ""
        storage = table == "storage"
        feeds = storage or (
            table not in ("load", "asymmetric_load", "shunt") and all(value <= 0 for value in p.values())
        )
        if feeds and table not in ("ward", "xward", "motor"):
            self.generators.append(Generator(**fields, storage=storage))
        else:
            self.loads.append(Load(**fields))


def _spread(power: float) -> Powers:
    return dict.fromkeys("ABC", power / 3)
