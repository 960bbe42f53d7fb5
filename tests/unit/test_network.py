"""The network model: read-only arrays in SI units, islands, and switch states that make another model."""

import pickle
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from algorithms.api import wire
from algorithms.api.errors import NetworkError
from algorithms.api.network import NetworkModel
from algorithms.api.network_document import STATES_SCHEMA, NetworkDocument, SwitchStates
from algorithms.api.network_operation import SwitchState
from algorithms.api.network_reader import parse, parse_states
from tests.support.networks import element, feeder_document


@pytest.fixture
def model() -> NetworkModel:
    return parse(feeder_document())


def tables(model):
    return (
        model.nodes,
        model.sources,
        model.branches,
        model.transformers,
        model.loads,
        model.generators,
        model.switches,
    )


def arrays(model):
    return {
        f"{type(table).__name__}.{name}": getattr(table, name)
        for table in tables(model)
        for name in table.__dataclass_fields__
        if isinstance(getattr(table, name), np.ndarray)
    }


def states(model, revision=7, **changed):
    normal = {"cb": SwitchState.CLOSED, "tie": SwitchState.OPEN}
    return SwitchStates(model.network, revision, {**normal, **changed})


def test_line_types_become_matrices_of_the_whole_length(model):
    row = model.branches.rows["b1"]
    z1, z0 = 800 * complex(2e-4, 1e-4), 800 * complex(8e-4, 4e-4)
    expected = np.full((3, 3), (z0 - z1) / 3) + z1 * np.eye(3)
    np.testing.assert_allclose(model.branches.z[row, :3, :3], expected, rtol=1e-12)
    np.testing.assert_allclose(model.branches.y[row, :3, :3], 800 * 8e-8j * np.eye(3), rtol=1e-12)
    assert not model.branches.z[row, 3].any()
    assert model.branches.rating[row] == 250.0


def test_conductors_of_a_branch_stand_in_their_places(model):
    row = model.branches.rows["b4"]
    assert model.branches.conductors[row].tolist() == [True, False, False, True]
    assert model.branches.z[row, 0, 3] == complex(0.001, 0.01)
    assert model.branches.z[row, 3, 3] == complex(0.02, 0.014)
    assert not model.branches.z[row, 1:3].any()


def test_a_branch_overrides_the_uncertainty_of_its_line_type(model):
    uncertainty = dict(zip(model.branches.ids, model.branches.impedance_uncertainty, strict=True))
    assert uncertainty == {"b1": 0.02, "b2": 0.05, "b3": 0.0, "b4": 0.0}


def test_taps_are_part_of_the_ratio(model):
    assert model.transformers.ratio.tolist() == pytest.approx([20e3 * 1.025 / 400.0])
    assert model.transformers.grounded.tolist() == [[False, True]]


def test_loads_stand_by_phase_or_by_pair_and_unknown_uncertainty_is_infinite(model):
    loads = model.loads
    assert loads.p[loads.rows["c1"]].tolist() == [900.0, 1200.0, 800.0]
    assert loads.u_p[loads.rows["c2"]].tolist() == [np.inf, 0.0, 0.0]
    assert loads.connected[loads.rows["c2"]].tolist() == [True, False, False]
    assert loads.p[loads.rows["factory"]].tolist() == [50e3] * 3
    assert model.generators.p[0, 0] == -3000.0


def test_grounding_and_nominal_voltage_of_nodes(model):
    nodes = model.nodes
    assert nodes.grounding_impedance[nodes.rows["l0"]] == 0.5
    assert nodes.grounded.sum() == 1
    assert nodes.nominal_voltage[nodes.rows["l1"]] == pytest.approx(230.94, abs=0.01)
    assert nodes.customers.sum() == 3


def test_no_array_can_be_written_to_also_after_pickling(model):
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        for name, array in arrays(one).items():
            assert not array.flags.writeable, name
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, arrays(again)[name])
    with pytest.raises(ValueError, match="read-only"):
        model.branches.z[0, 0, 0] = 0
    with pytest.raises(AttributeError):
        model.revision = 4


def test_no_array_holds_a_nan(model):
    assert not any(np.isnan(array).any() for array in arrays(model).values())


def test_switch_states_make_another_model_and_leave_this_one(model):
    other = model.with_switches(states(model, tie=SwitchState.CLOSED))
    assert other.switches.closed.tolist() == [True, True]
    assert other.topology_revision == 7
    assert model.switches.closed.tolist() == [True, False]
    assert other.branches is model.branches


def test_states_of_other_areas_are_passed_over_but_missing_ones_are_told_together(model):
    model.with_switches(states(model, elsewhere=SwitchState.OPEN))
    with pytest.raises(NetworkError) as caught:
        model.with_switches(SwitchStates("net-2", 1, {}))
    assert [problem.where for problem in caught.value.problems] == [
        "topology.network",
        "topology.states.cb",
        "topology.states.tie",
    ]


def test_islands_follow_the_switches(model):
    assert len(model.islands()) == 1
    dark = model.with_switches(states(model, cb=SwitchState.OPEN))
    fed, unfed = dark.islands()
    assert [dark.nodes.ids[row] for row in fed.nodes] == ["m0"]
    assert fed.sources.tolist() == [0]
    assert unfed.nodes.size == 6
    assert unfed.sources.size == 0


def test_switch_states_are_read_or_refused():
    data = b'{"schema": "topology/1", "network": "net-1", "revision": 2, "states": {"cb": "open"}}'
    assert parse_states(data).states == {"cb": SwitchState.OPEN}
    for wrong in (b"", b"{}", data.replace(b"open", b"ajar"), b"[" * 10_000, data.replace(b"net-1", b"\xff")):
        with pytest.raises(NetworkError, match="switch states"):
            parse_states(wrong)


def test_switch_states_go_over_the_wire(model):
    header = wire.Header(device="catalog", boot=1, session=1, number=1, time_ns=0)
    data = wire.encode(states(model), header)
    assert wire.decode_as({STATES_SCHEMA: SwitchStates}, data)[1] == states(model) == parse_states(data)


def test_a_document_read_and_written_is_the_same_network(model):
    document = msgspec.convert(feeder_document(), NetworkDocument)
    assert msgspec.json.decode(msgspec.json.encode(document), type=NetworkDocument) == document
    again = arrays(parse(document))
    for name, array in arrays(model).items():
        np.testing.assert_array_equal(array, again[name])


def test_a_network_without_equipment_is_a_network():
    document = {name: value for name, value in feeder_document().items() if not isinstance(value, list)}
    nodes, source = feeder_document()["nodes"][:1], element(feeder_document(), "grid")
    model = parse({**document, "nodes": nodes, "sources": [source]})
    assert len(model.branches) == 0
    assert model.branches.z.shape == (0, 4, 4)
    assert [island.nodes.tolist() for island in model.islands()] == [[0]]


def test_columns_of_unequal_length_are_wrong_use(model):
    with pytest.raises(ValueError, match="7 entries expected in customers, found 6"):
        type(model.nodes)(
            model.nodes.ids,
            model.nodes.base_voltage,
            model.nodes.conductors,
            model.nodes.grounded,
            model.nodes.grounding_impedance,
            model.nodes.customers[:6],
        )


def test_the_vocabulary_of_algorithms_needs_no_scipy():
    code = "import sys, algorithms.api.algorithm, algorithms.api.network_reader; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_agent_reads_records_and_wire_and_manifests_without_numpy():
    code = "import sys, algorithms.api.wire, algorithms.api.manifest; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
