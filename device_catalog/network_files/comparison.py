"""
How well a document says what the program it came from calculated.

Where it stands: ``tresma network import`` tells the result of `difference`. It is the one place here that solves: with
the power flow that agents use (`algorithms.grid`), against the voltages the other program found.
"""

from algorithms.api.network_reader import parse
from algorithms.api.network_tables import CONDUCTORS
from algorithms.grid.powerflow import prepare
from device_catalog.network_files.imported import Difference, Imported


def difference(imported: Imported) -> Difference | None:
    """
    Solve a right document and compare its voltages with those the other program found.

    Returns
    -------
    Difference or None
        None where that program found none.

    Raises
    ------
    NetworkError
        When the document is not right, or cannot be solved as it stands.
    ValueError
        When the power flow does not converge.
    """
    if not imported.voltages:
        return None
    model = parse(imported.document)
    solution = prepare(model).solve()
    if not solution.converged:
        raise ValueError(solution.reason)
    nominal = model.nodes.nominal_voltage
    largest, place, compared = 0.0, "", 0
    for node, values in imported.voltages.items():
        row = model.nodes.rows[node]
        for column, conductor in enumerate(CONDUCTORS):
            if conductor in values:
                off = abs(solution.voltages[row, column] - values[conductor]) / float(nominal[row])
                largest, place = max((largest, place), (float(off), f"{node}.{conductor}"))
                compared += 1
    return Difference(largest, place, compared)
