"""
The state of a concentrator: single- and three-phase customers behind one bus of a feeder.

Lowest of three levels. Their meters' |V|, P and Q become |V| at the bus and the total P and Q by phase, which goes up
to `lv_state` as one measurement with its uncertainty.
After M. Pau et al., IEEE Trans. Instrum. Meas. 68:11 (2019) 4300-4312, doi 10.1109/TIM.2018.2890399.
"""

from typing import ClassVar

from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network_operation import Level
from algorithms.api.records import Kind
from algorithms.builtin.states.area_state import AreaState, describe
from algorithms.builtin.states.state_settings import Defaults


class ConcentratorState(AreaState):
    """Estimates an area of level `concentrator`; see `AreaState`."""

    level = Level.CONCENTRATOR
    info: ClassVar[AlgorithmInfo] = describe(
        "concentrator_state",
        "State of the customers behind one bus, and what they draw there, each interval.",
        (Kind.FRAME,),
        Defaults(deadline=2.0, unbalance=0.03, branches="none"),
    )
