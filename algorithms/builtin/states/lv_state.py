"""
The state of a low-voltage grid: what its concentrators and its own meters tell becomes voltages and flows of all nodes.

Middle of three levels. The transformer belongs to it, so what goes up to `mv_state` stands at the medium-voltage side:
voltages between phases, and P and Q by phase. The zero sequence there cannot be seen through a delta winding.
After M. Pau et al., IEEE Trans. Instrum. Meas. 68:11 (2019) 4300-4312, doi 10.1109/TIM.2018.2890399.
"""

from typing import ClassVar

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_operation import Level
from algorithms.api.records import Kind
from algorithms.builtin.states.area_state import AreaState, describe
from algorithms.builtin.states.state_settings import Defaults


class LvState(AreaState):
    """Estimates an area of level `lv`; see `AreaState`."""

    level = Level.LV
    info: ClassVar[AlgorithmInfo] = describe(
        "lv_state",
        "State of a low-voltage grid from its concentrators and meters, each interval.",
        (Kind.FRAME, Kind.GRID_STATE),
        Defaults(deadline=4.0, unbalance=0.01, branches="transformers"),
    )
