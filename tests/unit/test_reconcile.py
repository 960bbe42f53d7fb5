"""From what runs to what should run."""

from hypothesis import given
from hypothesis import strategies as st

from agent.reconcile import (
    ReplaceSampler,
    SetEndpoints,
    SetPoll,
    StartAlgorithm,
    StopAlgorithm,
    UpdateAssignment,
    reconcile,
)
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind
from device_catalog.contract.documents import (
    Acquisition,
    Assignment,
    Brokers,
    Configuration,
    Poll,
    TopologyReference,
)

INFOS = {
    "phasors": AlgorithmInfo("phasors", "1.0.0", "A test.", (Kind.SAMPLES,), (Kind.FRAME,)),
    "quality": AlgorithmInfo("quality", "1.0.0", "A test.", (Kind.FRAME,), (Kind.EVENT,)),
}

acquisitions = st.none() | st.builds(
    Acquisition, driver=st.just("simulated"), sample_rate=st.sampled_from([3200, 6400])
)
assignments = st.builds(
    Assignment,
    algorithm=st.sampled_from(sorted(INFOS)),
    settings=st.sampled_from([{}, {"window": 4}]),
    publish=st.sampled_from([0.0, 1.0]),
)
configurations = st.builds(
    Configuration,
    brokers=st.builds(Brokers, grid=st.sampled_from([(), ("mqtt://a",)]), data=st.just(())),
    acquisition=acquisitions,
    algorithms=st.lists(assignments, unique_by=lambda one: one.algorithm, max_size=2).map(tuple),
    poll=st.builds(Poll, interval=st.sampled_from([5.0, 60.0])),
)


@given(configurations)
def test_what_already_runs_needs_no_step(configuration):
    assert reconcile(configuration, configuration, INFOS) == ()


@given(configurations, configurations)
def test_carrying_out_the_steps_leads_to_what_is_desired(current, desired):
    running = {one.algorithm: one for one in current.algorithms}
    acquisition, poll, brokers = current.acquisition, current.poll, {"grid": current.brokers.grid, "data": ()}
    for step in reconcile(current, desired, INFOS):
        match step:
            case ReplaceSampler():
                acquisition = step.acquisition
            case StartAlgorithm() | UpdateAssignment():
                running[step.assignment.algorithm] = step.assignment
            case StopAlgorithm():
                del running[step.name]
            case SetEndpoints():
                brokers[step.broker] = step.endpoints
            case SetPoll():
                poll = step.poll
    assert running == {one.algorithm: one for one in desired.algorithms}
    assert (acquisition, poll, brokers["grid"]) == (desired.acquisition, desired.poll, desired.brokers.grid)


def test_a_change_of_brokers_touches_no_algorithm():
    before = Configuration(algorithms=(Assignment("phasors"),))
    after = Configuration(algorithms=(Assignment("phasors"),), brokers=Brokers(grid=("mqtt://b",)))
    assert reconcile(before, after, INFOS) == (SetEndpoints("grid", ("mqtt://b",)),)


def test_publishing_less_often_does_not_restart_the_algorithm():
    before = Configuration(algorithms=(Assignment("phasors"),))
    after = Configuration(algorithms=(Assignment("phasors", publish=1.0),))
    assert reconcile(before, after, INFOS) == (UpdateAssignment(Assignment("phasors", publish=1.0)),)


def test_another_sampling_rate_restarts_only_who_sees_samples():
    algorithms = (Assignment("phasors"), Assignment("quality"))
    before = Configuration(acquisition=Acquisition("simulated", 3200), algorithms=algorithms)
    after = Configuration(acquisition=Acquisition("simulated", 6400), algorithms=algorithms)
    assert reconcile(before, after, INFOS) == (
        ReplaceSampler(after.acquisition),
        StartAlgorithm(Assignment("phasors")),
    )


def test_what_may_be_refused_comes_before_what_cannot_be_taken_back():
    before = Configuration(algorithms=(Assignment("quality"),))
    after = Configuration(
        acquisition=Acquisition("simulated", 3200), algorithms=(Assignment("phasors"),), poll=Poll(interval=5.0)
    )
    kinds = [type(step) for step in reconcile(before, after, INFOS)]
    assert kinds == [ReplaceSampler, StartAlgorithm, StopAlgorithm, SetPoll]


def test_another_part_of_the_network_starts_what_needs_it_anew_and_another_revision_does_not():
    infos = {
        "estimate": AlgorithmInfo("estimate", "1.0.0", "A test.", (Kind.FRAME,), (Kind.EVENT,), needs_network=True),
        "quality": INFOS["quality"],
    }

    def steps(before, after):
        assigned = (Assignment("estimate"), Assignment("quality"))
        return reconcile(
            *(Configuration(algorithms=assigned, topology=topology) for topology in (before, after)), infos
        )

    first = TopologyReference("n", "a", 1, 0)
    assert steps(first, TopologyReference("n", "a", 2, 5)) == ()
    for other in (TopologyReference("n", "b", 1, 0), TopologyReference("m", "a", 1, 0), None):
        assert steps(first, other) == (StartAlgorithm(Assignment("estimate")),)
