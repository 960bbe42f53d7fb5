"""
OpenDSS as a reader: it runs a master file, solves the circuit, and tells of its elements.

Where it stands: below `opendss_import`, which never sees the engine's own objects. The engine is the DSS C-API through
dss-python, in a context of its own; a master file's ``redirect``, ``export`` and ``solve`` are obeyed, its forms,
editors and shell commands are not.
"""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from algorithms.api.network_tables import Complexes
from device_catalog.network_files.errors import NetworkFileError

TOLERANCE = 1e-11
"""Of the solution that is compared with, and from which powers are taken [1]."""


class Element:
    """
    One element of a circuit, as it stood when it was asked for.

    Attributes
    ----------
    kind, name : str
        In small letters.
    buses : tuple of str
        Of its terminals, without nodes.
    nodes : tuple of tuple of int
        By terminal, one for each conductor; 0 is earth.
    opened : tuple of bool
        Whether each terminal stands open.
    enabled : bool
    phases : int
    """

    def __init__(self, engine: "Engine", full_name: str) -> None:
        self._engine = engine
        self.full_name = full_name
        kind, _, name = full_name.partition(".")
        self.kind, self.name = kind.lower(), name.lower()
        active = engine.activate(full_name)
        self.enabled = bool(active.Enabled)
        self.phases = int(active.NumPhases)
        count = int(active.NumConductors)
        order = [int(node) for node in active.NodeOrder] if self.enabled else []
        self.nodes = tuple(tuple(order[first : first + count]) for first in range(0, len(order), count))
        self.buses = tuple(bus.split(".")[0].lower() for bus in active.BusNames)
        terminals = range(1, int(active.NumTerminals) + 1)
        self.opened = tuple(self.enabled and bool(active.IsOpen(terminal, 0)) for terminal in terminals)

    def text(self, name: str) -> str:
        """Read a property as OpenDSS writes it."""
        active = self._engine.activate(self.full_name)
        return str(active.Properties(name).Val).strip()

    def number(self, name: str) -> float:
        """Read a property that is a number."""
        return float(self.text(name).strip("[]() ").split(",")[0].split()[0])

    def numbers(self, name: str) -> list[float]:
        """Read a property that is a list of numbers."""
        return [float(word) for word in self.text(name).strip("[]() ").replace(",", " ").split()]

    def flag(self, name: str) -> bool:
        """Read a property that is yes or no."""
        return self.text(name).lower()[:1] in ("y", "t")

    def set_winding(self, winding: int) -> None:
        """Choose the winding of a transformer, from 1, that properties are read of."""
        self._engine.activate(self.full_name).Properties("wdg").Val = str(winding)

    def admittance(self) -> Complexes:
        """Give its primitive admittance, shape (n, n) [S]."""
        values = np.array(self._engine.activate(self.full_name).Yprim, dtype=float).view(complex)
        size = round(len(values) ** 0.5)
        matrix: Complexes = values.reshape(size, size, order="F")
        return matrix

    def powers(self) -> list[complex]:
        """Give the powers into its conductors, terminal by terminal [VA]."""
        values = np.array(self._engine.activate(self.full_name).Powers, dtype=float).view(complex)
        return [complex(value) * 1e3 for value in values]

    def voltages(self) -> list[complex]:
        """Give the voltages of its conductors to earth, terminal by terminal [V]."""
        values = np.array(self._engine.activate(self.full_name).Voltages, dtype=float).view(complex)
        return [complex(value) for value in values]


class Engine:
    """
    A master file, solved.

    Parameters
    ----------
    file : pathlib.Path

    Raises
    ------
    NetworkFileError
        When dss-python is missing, or OpenDSS refuses the file or finds no solution.
    """

    def __init__(self, file: Path) -> None:
        try:
            from dss import DSS, DSSException  # noqa: PLC0415 - optional
        except ImportError as error:
            raise NetworkFileError(
                f"expected dss-python, which runs OpenDSS files, found: {error}; pip install 'tresma[import]'"
            ) from error
        if not file.is_file():
            raise NetworkFileError(f"{file}: expected a master file of OpenDSS, found nothing")
        self._dss = DSS.NewContext()
        self._dss.AllowForms = self._dss.AllowEditor = self._dss.AllowChangeDir = self._dss.AllowDOScmd = False
        self.origin = f"OpenDSS (dss-python {metadata.version('dss-python')}), {file.name}"
        try:
            self._command(f'redirect "{file.resolve()}"')
            if not self._dss.NumCircuits:
                raise NetworkFileError(f"{file}: expected a file that makes a circuit, found none; is it the master?")
            self.circuit = self._dss.ActiveCircuit
            self._solve(file)
        except DSSException as error:
            raise NetworkFileError(f"{file}: OpenDSS refuses it: {' '.join(str(error).split())}") from error

    def _solve(self, file: Path) -> None:
        """Let controls settle, then solve exactly with everything where it stands."""
        for command in ("set mode=snapshot", "set maxiterations=500", "set maxcontroliter=200", "solve"):
            self._command(command)
        self._command("set controlmode=off")
        self._command(f"set tolerance={TOLERANCE}")
        self._command("solve")
        if not self.circuit.Solution.Converged:
            self._command("set tolerance=1e-8")
            self._command("solve")
        if not self.circuit.Solution.Converged:
            raise NetworkFileError(f"{file}: OpenDSS finds no solution; taps and controlled powers come from it")

    def _command(self, command: str) -> None:
        self._dss.Text.Command = command

    def activate(self, full_name: str) -> Any:
        """Make an element the active one and give the engine's view of it."""
        self.circuit.SetActiveElement(full_name)
        return self.circuit.ActiveCktElement

    def elements(self) -> list[Element]:
        """Give all elements, those out of use included."""
        return [Element(self, name) for name in self.circuit.AllElementNames]

    @property
    def frequency(self) -> float:
        """Nominal frequency [Hz]."""
        return float(self.circuit.Solution.Frequency)

    @property
    def load_multiplier(self) -> float:
        """By which loads that are not fixed are multiplied [1]."""
        return float(self.circuit.Solution.LoadMult)

    @property
    def name(self) -> str:
        """Of the circuit."""
        return str(self.circuit.Name)

    def buses(self) -> Iterator[tuple[str, float, tuple[int, ...], tuple[float, float] | None]]:
        """Give each bus with its nominal voltage phase to neutral [V], its nodes and its coordinates."""
        for bus in self.circuit.ActiveBus:
            place = (float(bus.x), float(bus.y)) if bus.Coorddefined else None
            yield str(bus.Name).lower(), float(bus.kVBase) * 1e3, tuple(int(node) for node in bus.Nodes), place

    def voltages(self) -> Iterator[tuple[str, dict[int, complex]]]:
        """Give what was found at each bus, by node, to earth [V]."""
        for bus in self.circuit.ActiveBus:
            values = np.array(bus.Voltages, dtype=float).view(complex)
            nodes = [int(node) for node in bus.Nodes]
            yield str(bus.Name).lower(), {node: complex(value) for node, value in zip(nodes, values, strict=True)}
