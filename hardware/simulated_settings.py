"""
What can be said about a simulated meter: its options and the tables inside them, declared.

The declarations validate and document at once; `simulated_options` reads them.
"""

import math
from typing import Any

from algorithms.api.settings import Setting
from hardware.pacing import PACES

DRIVER = "simulated"
CHANNELS = ("ua", "ub", "uc", "ia", "ib", "ic")
"""What is simulated, in this order."""
PHASES = ("A", "B", "C")
REPLAY_EPOCH = "2024-01-01T00:00:00Z"
"""When a simulation begins that does not follow the clock."""

_ones, _zeros, _three = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 3


def _list(name: str, description: str, unit: str, length: int, default: Any = ()) -> Setting:
    return Setting(name, "list", description, unit=unit, default=default, maximum=length)


OPTIONS = (
    Setting("frequency", "number", "Of the grid; nominal without it.", unit="Hz", default=None,
            minimum=1.0, maximum=1000.0),
    Setting("voltage", "number", "RMS, phase to neutral; nominal without it.", unit="V", default=None,
            minimum=0.0, maximum=1e6),
    Setting("angle", "number", "Of phase A's voltage, referred to the UTC second.", unit="rad", default=0.0),
    _list("voltage_factors", "Each phase's voltage, as a share.", "1", _three, _ones),
    _list("voltage_angles", "Each phase's further displacement.", "rad", _three, _zeros),
    Setting("apparent_power", "number", "Load of all three phases.", unit="VA", default=None, minimum=0.0),
    Setting("power_factor", "number", "Of that load; negative where it feeds.", unit="1", default=None,
            minimum=-1.0, maximum=1.0),
    Setting("leading", "boolean", "Whether that load is capacitive.", default=False),
    _list("active_power", "Each phase's load, instead of apparent power.", "W", _three),
    _list("reactive_power", "Each phase's reactive load, inductive positive.", "var", _three),
    Setting("harmonics", "list", "Tables of order, share, angle and channels.", default=(), maximum=200),
    Setting("voltage_noise", "number", "White, RMS.", unit="V", default=0.0, minimum=0.0),
    Setting("current_noise", "number", "White, RMS.", unit="A", default=0.0, minimum=0.0),
    Setting("bits", "integer", "Resolution of the converter; 0 for none.", default=0, minimum=0, maximum=24),
    Setting("voltage_range", "number", "Peak value the converter represents.", unit="V", default=None, minimum=1e-9),
    Setting("current_range", "number", "Peak value the converter represents.", unit="A", default=None, minimum=1e-9),
    _list("skews", "Time of each channel after the nominal instant.", "s", len(CHANNELS), (0.0,) * len(CHANNELS)),
    Setting("events", "list", "Tables of kind, start and duration.", default=(), maximum=1000),
    Setting("losses", "list", "Tables of start, duration and period: samples that get lost.", default=(), maximum=1000),
    Setting("clock_error", "number", "By how much the sampling clock runs fast; 20e-6 is 20 ppm.", unit="1",
            default=0.0, minimum=-0.01, maximum=0.01),
    Setting("seed", "integer", "Of the noise.", default=0, minimum=0, maximum=2**63),
    Setting("pace", "text", "Whether samples come when their time has passed, or at once.", default=PACES[0],
            choices=PACES),
    Setting("duration", "number", "Until the end; 0 for none.", unit="s", default=0.0, minimum=0.0),
    Setting("start_time", "text", "RFC 3339; without it now in real time.", default="", maximum=40),
    Setting("buffer", "number", "How far a reader may lag before samples are lost.", unit="s", default=10.0,
            minimum=0.1, maximum=3600.0),
)  # fmt: skip

_start = Setting("start", "number", "After the first sample.", unit="s", minimum=0.0, maximum=1e9)
_duration = Setting("duration", "number", "0 for ever.", unit="s", default=0.0, minimum=0.0, maximum=1e9)
_period = Setting("period", "number", "Repeats every; 0 for once.", unit="s", default=0.0, minimum=0.0, maximum=1e9)
_phases = Setting("phases", "list", "Those it touches.", default=PHASES, minimum=1, maximum=3)
_current = Setting("current", "number", "Factor of the current; the voltage's without it.", unit="1", default=None,
                   minimum=0.0, maximum=1000.0)  # fmt: skip
_start_of_event = (
    Setting("kind", "text", "What happens."),
    _start,
    _duration,
)
EVENTS: dict[str, tuple[Setting, ...]] = {
    "sag": (*_start_of_event, _period, _phases, _current,
            Setting("depth", "number", "Voltage lost.", unit="1", minimum=0.0, maximum=1.0)),
    "swell": (*_start_of_event, _period, _phases, _current,
              Setting("rise", "number", "Voltage gained.", unit="1", minimum=0.0, maximum=10.0)),
    "interruption": (*_start_of_event, _period, _phases, _current),
    "phase-jump": (*_start_of_event, _period, _phases,
                   Setting("angle", "number", "Of voltages and currents.", unit="rad", minimum=-math.tau,
                           maximum=math.tau)),
    "frequency-ramp": (*_start_of_event,
                       Setting("rate", "number", "Held at its end.", unit="Hz/s", minimum=-100.0, maximum=100.0)),
    "frequency-step": (*_start_of_event, _period,
                       Setting("step", "number", "Change of frequency.", unit="Hz", minimum=-50.0, maximum=50.0)),
}  # fmt: skip
"""What can happen, each kind with its settings."""
HARMONIC = (
    Setting("order", "integer", "Of the harmonic.", minimum=2, maximum=200),
    Setting("share", "number", "Of the fundamental.", unit="1", minimum=0.0, maximum=10.0),
    Setting("angle", "number", "At the fundamental's zero angle.", unit="rad", default=0.0),
    Setting("channels", "list", "Names; without it all.", default=CHANNELS, minimum=1, maximum=6),
)
LOSS = (_start, Setting("duration", "number", "How long.", unit="s", minimum=1e-9, maximum=1e6), _period)
