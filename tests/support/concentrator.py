"""
A phasor data concentrator from elsewhere (`pyc37`, BSD), as an independent reader of C37.118.2.

Two slips of its own are worked around: it looks its words for time quality and unlocked time up by bits that it has
not shifted, and it takes a frequency for a deviation also where it is a float, so streams for it have integers.
"""

import contextlib
from types import TracebackType
from typing import Any, Self


class Concentrator:
    """
    A connection to a stream, as a context manager.

    Parameters
    ----------
    port : int
        On loopback.
    id_code : int
    """

    def __init__(self, port: int, id_code: int) -> None:
        from pyc37.frame import DataFrame
        from pyc37.pdc import Pdc

        DataFrame.TIME_QUALITY_WORDS.update({code << 6: word for word, code in DataFrame.TIME_QUALITY.items()})
        DataFrame.UNLOCKED_TIME_WORDS.update({code << 4: word for word, code in DataFrame.UNLOCKED_TIME.items()})
        self._pdc = Pdc(pdc_id=id_code, pmu_ip="127.0.0.1", pmu_port=port)
        self._pdc.logger.handlers.clear()

    def __enter__(self) -> Self:
        self._pdc.run()
        assert self._pdc.pmu_socket is not None
        self._pdc.pmu_socket.settimeout(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._pdc.quit()

    def header(self) -> str:
        """Ask for the header and return its text."""
        return str(self._pdc.get_header().get_header())

    def configuration(self) -> Any:
        """Ask for configuration 2 and return it; data frames are read by it from then on."""
        return self._pdc.get_config()

    def measurements(self, count: int) -> list[Any]:
        """Start the stream, read so many data frames, and stop it."""
        self._pdc.start()
        frames = [self._pdc.get() for _ in range(count)]
        self._pdc.stop()
        return frames
