"""Published networks: the data are the published ones, and the search finds the best that is known."""

import numpy as np
import pytest

from algorithms.api.network_reader import parse
from algorithms.grid.switching.limits import Limits
from algorithms.grid.switching.reconfiguration import Effort, positions, reconfigure
from algorithms.grid.switching.switched import SwitchedNetwork
from algorithms.grid.switching.tree_flow import TreeFlow
from tests.support.published_networks import BASE_LOSSES, BEST_KNOWN, published_document
from tests.support.switch_positions import LossesByPowerGridModel, radial_positions

WIDE = Limits(0.5, 1.5)


@pytest.mark.parametrize("name", BASE_LOSSES)
def test_losses_of_the_published_position_are_the_published_ones(name):
    model = parse(published_document(name))
    assert LossesByPowerGridModel(model).losses(model.switches.closed[np.newaxis])[0] == pytest.approx(
        BASE_LOSSES[name], rel=5e-4
    )


@pytest.mark.parametrize("name", BASE_LOSSES)
def test_the_best_position_known_is_found(name):
    model = parse(published_document(name))
    found = reconfigure(TreeFlow(SwitchedNetwork(model)), limits=WIDE, effort=Effort.THOROUGH)
    losses = LossesByPowerGridModel(model).losses(found.closed[np.newaxis])[0]
    assert losses <= 1.001 * BEST_KNOWN[name][0]
    assert found.after.losses == pytest.approx(losses, rel=1e-5)


def test_33_buses_are_opened_where_the_literature_opens_them_at_the_first_attempt():
    model = parse(published_document("baran_wu_33"))
    found = reconfigure(TreeFlow(SwitchedNetwork(model)), limits=WIDE)
    opened = {int(name[1:]) for name, closed in zip(model.switches.ids, found.closed, strict=True) if not closed}
    assert opened == {7, 9, 14, 32, 37}
    assert found.after.losses == pytest.approx(139.55e3, rel=1e-4)


def test_all_radial_positions_are_those_networkx_finds():
    model = parse(published_document("civanlar_16"))
    own = {position.tobytes() for position in positions(SwitchedNetwork(model))}
    assert own == {position.tobytes() for position in radial_positions(model)}
    assert len(own) == 190


def test_no_other_position_of_16_buses_has_fewer_losses():
    model = parse(published_document("civanlar_16"))
    found = reconfigure(TreeFlow(SwitchedNetwork(model)), limits=WIDE, effort=Effort.THOROUGH)
    truth = LossesByPowerGridModel(model).losses(radial_positions(model))
    assert found.exact
    assert found.after.losses == pytest.approx(truth.min(), rel=1e-5)
