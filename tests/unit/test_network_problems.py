"""Everything wrong with a network document is found at once, each fault as one problem that says where and why."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.errors import NetworkError
from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse
from tests.support.networks import element, feeder_document


def put(name, **values):
    """A fault: fields of one element changed; None takes the field away."""

    def change(document):
        target = element(document, name)
        for field, value in values.items():
            if value is None:
                target.pop(field, None)
            else:
                target[field] = value

    return change


def add(listed, **item):
    return lambda document: document[listed].append(item)


LV = {"phases": "ABCN", "base_voltage": 400.0}
X = [[7e-4 if i == j else 5e-4 for j in range(4)] for i in range(4)]

FAULTS = {
    "dangling branch": (put("b1", to_node="m9"), "branches[b1].to_node", "a node of this document"),
    "unknown field": (put("b1", lenght=3.0), "branches[b1].lenght", "did you mean length?"),
    "wrong type": (put("b1", length="800 m"), "branches[b1].length", "found 800 m"),
    "missing field": (put("b1", length=None), "branches[b1].length", "found nothing"),
    "infinite": (put("b1", length=float("inf")), "branches[b1].length", "finite"),
    "missing impedance": (put("b1", line_type=None, phases="ABC"), "branches[b1].r", "state a line_type"),
    "unknown line type": (put("b1", line_type="cabel"), "branches[b1].line_type", "a line type of this document"),
    "two line data": (put("b3", r=X, x=X), "branches[b3].line_type", "leave one out"),
    "x missing": (put("b4", x=None), "branches[b4].x", "no x"),
    "size": (put("b4", r=[[0.02]]), "branches[b4].r", "a matrix of 2 x 2 for AN"),
    "not symmetric": (put("b4", r=[[0.02, 0.002], [0.001, 0.02]]), "branches[b4].r", "symmetric"),
    "not passive": (put("b4", r=[[0.02, 0.03], [0.03, 0.02]]), "branches[b4].r", "passive"),
    "singular": (put("b4", r=[[0.02, 0.02]] * 2, x=[[0.01, 0.01]] * 2), "branches[b4].x", "without an inverse"),
    "negative": (put("b4", x=[[-0.01, 0.0], [0.0, 0.01]]), "branches[b4].x", "passive"),
    "ohm/km": (
        put("cable-lv", x=[[1e3 * value for value in row] for row in X]),
        "line_types[cable-lv].x",
        "it looks like ohm/km",
    ),
    "length in km": (put("b4", length=0.02), "branches[b4].x", "a length in km"),
    "no length": (put("b1", length=0.0), "branches[b1].length", "more than 0 m"),
    "too long": (put("b1", length=8e5), "branches[b1].length", "metres"),
    "kV": (put("m3", base_voltage=20.0), "nodes[m3].base_voltage", "it looks like kV"),
    "line to line": (put("grid", voltage=20e3), "sources[grid].voltage", "divide by sqrt(3)"),
    "source in kV": (put("grid", voltage=11.5), "sources[grid].voltage", "it looks like kV"),
    "dead source": (put("grid", r1=0.0, x1=0.0), "sources[grid].r1", "above 0 ohm"),
    "half zero sequence": (put("grid", x0=None), "sources[grid].r0", "or neither"),
    "dead zero sequence": (put("grid", r0=0.0, x0=0.0), "sources[grid].r0", "leave both out"),
    "half magnetising impedance": (put("t1", r0m=900.0), "transformers[t1].r0m", "or neither"),
    "magnetising impedance of a capacitor": (put("t1", r0m=0.0, x0m=-9.0), "transformers[t1].x0m", "passive"),
    "three-phase group on two phases": (put("t1", phases="AB"), "transformers[t1].phases", "ABC for Dyn11"),
    "single-phase group on three phases": (put("t1", vector_group="Ii0"), "transformers[t1].phases", "pair of phases"),
    "kVA": (put("t1", rated_power=400.0), "transformers[t1].rated_power", "it looks like kVA"),
    "kV at the transformer": (put("t1", rated_voltage=[20.0, 0.4]), "transformers[t1].rated_voltage", "kV"),
    "sides swapped": (put("t1", rated_voltage=[400.0, 20e3]), "transformers[t1].rated_voltage", "higher voltage first"),
    "per unit": (put("t1", r=0.01, x=0.04), "transformers[t1].x", "short-circuit voltage"),
    "vector group": (put("t1", vector_group="Dyn12"), "transformers[t1].vector_group", "Dyn11"),
    "clock number": (put("t1", vector_group="Dyn10"), "transformers[t1].vector_group", "an odd clock number"),
    "no neutral": (put("t1", vector_group="Dd0"), "transformers[t1].to_grounding", "brings out no neutral"),
    "tap": (
        put("t1", tap={"end": 0, "position": 5, "step": 0.025, "lowest": -2, "highest": 2}),
        "transformers[t1].tap.position",
        "-2 to 2",
    ),
    "percent": (
        put("t1", tap={"end": 0, "position": 0, "step": 2.5, "lowest": -2, "highest": 2}),
        "transformers[t1].tap.step",
        "2.5 % is 0.025",
    ),
    "uncertainty in percent": (
        put("cable-mv", impedance_uncertainty=2.0),
        "line_types[cable-mv].impedance_uncertainty",
        "5 % is 0.05",
    ),
    "rating in kA": (put("cable-mv", rating=0.25), "line_types[cable-mv].rating", "it looks like kA"),
    "phase order": (put("cb", phases="CAB"), "switches[cb].phases", "in this order"),
    "phase of the branch": (put("b4", phases="BN"), "branches[b4].phases", "B is not there"),
    "phase of the load": (put("c2", p={"B": 700.0}, q={"B": 70.0}), "loads[c2].p", "phases of node l2 (AN)"),
    "pair for a wye": (put("c2", p={"AB": 700.0}, q={"AB": 70.0}), "loads[c2].p", "A, B, C for a wye"),
    "q missing": (put("c2", q={}), "loads[c2].q", "the same phases"),
    "uncertainty below 0": (put("c2", u_p={"A": -1.0}), "loads[c2].u_p", "0 or more"),
    "sign of a generator": (put("pv", p={"A": 3000.0}), "generators[pv].p", "turn the sign"),
    "duplicate id": (put("pv", id="c1"), "loads[c1].id", "2 times"),
    "id for a topic": (put("tie", id="tie/7"), "switches[1].id", "letters, digits"),
    "switch at one node": (put("tie", to_node="m2"), "switches[tie].to_node", "another node"),
    "switch of a relay": (put("relay", switch="b1"), "protections[relay].switch", "a switch of this document"),
    "reclosing of a fuse": (put("cb", kind="fuse"), "protections[relay].dead_times", "a breaker or recloser"),
    "relay on a disconnector": (
        lambda document: (put("cb", kind="disconnector")(document), put("relay", dead_times=[])(document)),
        "protections[relay].switch",
        "breaks no fault current",
    ),
    "kind of a switch": (put("cb", kind="button"), "switches[cb].kind", "expected breaker or recloser"),
    "number of no double": (put("b1", length=10**400), "branches[b1].length", "expected a number that fits"),
    "grounding without neutral": (put("m3", grounding={"kind": "solid"}), "nodes[m3].grounding", "add N"),
    "coil without impedance": (put("l0", grounding={"kind": "compensated"}), "nodes[l0].grounding", "state r and x"),
    "equipment of a terminal": (put("t-c2", equipment="c9"), "terminals[t-c2].equipment", "of this document"),
    "phase of a terminal": (put("t-c2", phases="ABC"), "terminals[t-c2].phases", "BC is not there"),
    "unreachable node": (add("nodes", id="l9", **LV), "nodes[l9]", "a way from a source"),
    "unfed phase": (put("l2", phases="ABN"), "nodes[l2]", "none for phase B"),
    "node of two areas": (
        put("area-lv", nodes=["l0", "l1", "l2", "m2"]),
        "areas[area-lv].nodes",
        "owned by area-mv too",
    ),
    "head below": (put("area-mv", head="l1"), "areas[area-mv].head", "at level mv"),
    "line between two voltages": (put("l2", base_voltage=10e3), "branches[b4].to_node", "join them by a transformer"),
    "terminal beside its load": (put("t-c2", node="l1"), "terminals[t-c2].node", "a node of c2 (l2)"),
    "terminal beside its switch": (put("t-head", node="m3"), "terminals[t-head].node", "a node of cb (m0 or m1)"),
    "head that does not feed": (put("area-lv", head="m3"), "areas[area-lv].head", "joins to area-lv"),
    "area without nodes": (put("area-lv", nodes=[]), "areas[area-lv].nodes", "a load below-area-lv at m2"),
    "areas that hang on each other": (
        lambda document: (
            put("area-mv", nodes=["m0", "m1"], head="m2")(document),
            put("area-lv", head="m2")(document),
            document["areas"].append({"id": "area-end", "level": "mv", "nodes": ["m2", "m3"], "head": "m1"}),
        ),
        "areas[area-mv].head",
        "a circle of area-mv, area-end",
    ),
    "power of no load": (put("c2", p={"A": 1e300}), "loads[c2].p.A", "within ±1e+15"),
    "power of no network": (put("c2", q={"A": 1e11}), "loads[c2].q", "at most 1e+10 W"),
    "rating of no transformer": (put("t1", rated_power=1e11, r=1e-5, x=4e-4), "transformers[t1].rated_power", "VA"),
    "position beyond the earth": (put("l1", position=[1e308, -4.0]), "nodes[l1].position[0]", "within ±1e+15"),
    "NUL in the name": (lambda document: document.update(name="Te\x00"), "name", "control characters (Te?)"),
    "ESC in a name": (
        lambda document: element(document, "l1").update(name="\x1b[2J"),
        "nodes[l1].name",
        "control characters",
    ),
    "length of nothing": (put("b1", length=1e-12), "branches[b1].length", "use a switch"),
    "impedance of nothing": (
        put("b4", r=[[1e-13, 0.0], [0.0, 1e-13]], x=[[1e-13, 0.0], [0.0, 1e-13]]),
        "branches[b4].x",
        "1e-09 ohm or more",
    ),
    "loop": (put("tie", normal="closed"), "switches[tie]", "no loop in the radial area area-mv"),
    "no source": (lambda document: document.update(sources=[]), "sources", "at least one source"),
    "revision": (lambda document: document.update(revision=-1), "revision", "1 to"),
    "revision 0": (lambda document: document.update(revision=0), "revision", "from 1 to"),
    "revision that no reader of JSON keeps": (
        lambda document: document.update(revision=2**53),
        "revision",
        "1 to 9007199254740991",
    ),
    "revision of a hundred digits": (lambda document: document.update(revision=10**99), "revision", "a whole number"),
    "revision of nothing": (lambda document: document.update(revision=None), "revision", "found None"),
    "frequency in words": (lambda document: document.update(frequency="fifty"), "frequency", "found fifty"),
    "number for a name": (lambda document: document.update(network=5), "network", "found 5"),
    "frequency": (lambda document: document.update(frequency=0.05), "frequency", "hertz"),
    "schema": (lambda document: document.update(schema="network/9"), "schema", "network/1"),
    "network": (lambda document: document.update(network="a b"), "network", "name the network"),
    "list": (lambda document: document.update(protections={"relay": {}}), "protections", "a list"),
    "no object": (lambda document: document["loads"].append(17), "loads[3]", "an object"),
}


def test_a_right_document_has_no_problems():
    assert problems(feeder_document()) == []
    assert problems(json.dumps(feeder_document()).encode()) == []


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_problem_at_its_place(name):
    fault, where, words = FAULTS[name]
    document = feeder_document()
    fault(document)
    found = problems(document)
    assert [problem.where for problem in found] == [where], [str(problem) for problem in found]
    assert words in str(found[0])


def test_five_faults_are_five_findings_and_refuse_the_document():
    document = feeder_document()
    for name in ("dangling branch", "not passive", "unreachable node", "kVA", "sign of a generator"):
        FAULTS[name][0](document)
    found = problems(document)
    assert sorted(problem.where for problem in found) == [
        "branches[b1].to_node",
        "branches[b4].r",
        "generators[pv].p",
        "nodes[l9]",
        "transformers[t1].rated_power",
    ]
    with pytest.raises(NetworkError) as caught:
        parse(document)
    assert list(caught.value.problems) == found


def test_lengths_given_in_kilometres_throughout_are_noticed():
    document = feeder_document()
    document["switches"][1]["normal"] = "open"
    document["branches"].append(
        {"id": "b5", "from_node": "m2", "to_node": "m4", "length": 0.3, "line_type": "cable-mv"},
    )
    document["nodes"].append({"id": "m4", "phases": "ABC", "base_voltage": 20e3})
    for name in ("b1", "b2"):
        element(document, name)["length"] /= 1e3
    assert "they look like km" in str(problems(document)[0])


def test_loads_given_in_kilowatts_throughout_are_noticed():
    document = feeder_document()
    for load in document["loads"]:
        load["p"] = {phase: value / 1e3 for phase, value in load["p"].items()}
    found = problems(document)
    assert len(found) == 1
    assert "they look like kW" in str(found[0])


def test_three_single_phase_lines_side_by_side_are_no_loop():
    document = feeder_document()
    z = {"r": [[0.1]], "x": [[0.1]]}
    document["branches"] = [branch for branch in document["branches"] if branch["id"] != "b2"]
    document["branches"] += [
        {"id": f"b2{phase}", "from_node": "m1", "to_node": "m3", "length": 500.0, "phases": phase, **z}
        for phase in "ABC"
    ]
    assert problems(document) == []


@pytest.mark.parametrize(
    "data", [b"", b"17", b"[]", b"{", b"\xff" * 10, b"[" * 100_000, b'{"schema": "network/1"}', b'{"name": "Te\xff"}']
)
def test_what_is_no_document_is_a_problem_not_an_exception(data):
    assert problems(data)
    with pytest.raises(NetworkError):
        parse(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_stands_in_the_head_is_a_problem_or_right_but_never_another_exception(data):
    document = feeder_document()
    field = data.draw(st.sampled_from(["network", "revision", "name", "frequency", "schema"]))
    document[field] = data.draw(json_values)
    if problems(document):
        with pytest.raises(NetworkError):
            parse(document)
    else:
        parse(document)


@given(st.data())
def test_whatever_stands_in_a_field_is_a_problem_or_right_but_never_another_exception(data):
    document = feeder_document()
    listed = data.draw(st.sampled_from([name for name, value in document.items() if isinstance(value, list)]))
    target = data.draw(st.sampled_from(document[listed]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(json_values)
    found = problems(document)
    if found:
        with pytest.raises(NetworkError):
            parse(document)
    else:
        parse(document)
