"""
The admittance of a network, factorised once and solved with many times.

Where it stands: between `admittance`, which it scales to per unit so that voltages of all levels weigh alike, and the
kernels that ask for voltages of currents.
"""

from typing import Literal

import numpy as np
from scipy.sparse.linalg import SuperLU, splu

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network_tables import Complexes
from algorithms.grid.admittance import Admittance


class Factor:
    """
    A factorised admittance.

    Raises
    ------
    NetworkError
        When the voltages do not follow from it.
    """

    def __init__(self, admittance: Admittance) -> None:
        self._scale = admittance.nominal.astype(float)
        self._factor: SuperLU | None = None
        if not len(self._scale):
            return
        scaled = admittance.matrix.copy()
        scaled.data *= self._scale[scaled.indices] * np.repeat(self._scale, np.diff(scaled.indptr))
        try:
            self._factor = splu(
                scaled,
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.01,
                options={"SymmetricMode": True},
            )
        except RuntimeError as error:
            found = "a network without a unique solution"
            remedy = "look for windings or conductors that hang on nothing"
            raise NetworkError([Problem("network", "voltages that follow from it", found, remedy)]) from error

    def solve(self, currents: Complexes, transposed: Literal["N", "T", "H"] = "N") -> Complexes:
        """
        Give voltages [V] of currents into the points [A], shape (k,) or (k, j).

        Parameters
        ----------
        currents : numpy.ndarray
        transposed : str
            ``T`` or ``H`` to solve with the transpose or the conjugate transpose.
        """
        if self._factor is None:
            return currents
        scale = self._scale if currents.ndim == 1 else self._scale[:, np.newaxis]
        voltages: Complexes = scale * self._factor.solve(scale * currents, trans=transposed)
        return voltages
