"""
The state of a medium-voltage grid: the grids below, meters at stations and forecasts become voltages and flows.

Highest of three levels, radial or meshed. It waits a little longer than those below it, so that one of them may have
reached its own deadline.
After M. Pau et al., IEEE Trans. Instrum. Meas. 68:11 (2019) 4300-4312, doi 10.1109/TIM.2018.2890399.
"""

from typing import ClassVar

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_operation import Level
from algorithms.api.records import Kind
from algorithms.builtin.states.area_state import AreaState, describe
from algorithms.builtin.states.state_settings import Defaults


class MvState(AreaState):
    """Estimates an area of level `mv`; see `AreaState`."""

    level = Level.MV
    info: ClassVar[AlgorithmInfo] = describe(
        "mv_state",
        "State of a medium-voltage grid from the grids below and its meters, each interval.",
        (Kind.FRAME, Kind.GRID_STATE),
        Defaults(deadline=6.0, unbalance=0.01, branches="all"),
    )
