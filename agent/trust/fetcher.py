"""
Downloads for TUF with a limit on everything: length by TUF itself, time of each file here, and no redirection.

Where it stands: used by `verifier` alone, in its own short-lived process, whose main thread gets the alarm. A server
that sends a byte now and then keeps no timeout of a socket from starting anew; an alarm ends that too.
"""

import signal
from collections.abc import Iterator
from types import FrameType

import requests
from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
from tuf.ngclient import FetcherInterface

PIECE = 64 * 1024
CONNECT = 10.0
"""Longest wait for a connection [s]."""


class BoundedFetcher(FetcherInterface):
    """
    Fetches files by HTTP.

    Parameters
    ----------
    seconds : float
        How long one file may take [s].
    ca : str
        File of the authorities that vouch for the server; empty for the system's.

    Attributes
    ----------
    seconds : float
        May be changed between files.
    """

    def __init__(self, seconds: float, ca: str = "") -> None:
        self.seconds = seconds
        self._verify: str | bool = ca or True
        self._session = requests.Session()
        signal.signal(signal.SIGALRM, _too_slow)

    def _fetch(self, url: str) -> Iterator[bytes]:
        timeout = (min(CONNECT, self.seconds), self.seconds)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            headers = {"Accept-Encoding": "identity"}
            with self._session.get(
                url, headers=headers, timeout=timeout, stream=True, allow_redirects=False, verify=self._verify
            ) as answer:
                if answer.status_code != requests.codes.ok:
                    raise DownloadHTTPError(f"{url} answered {answer.status_code}", answer.status_code)
                yield from answer.iter_content(PIECE)
        except requests.Timeout as error:
            raise SlowRetrievalError(f"{url} took longer than {self.seconds:g} s") from error
        except (requests.RequestException, OSError) as error:
            raise DownloadError(f"{url} cannot be fetched: {_reason(error)}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise SlowRetrievalError("a file took longer than it may")


def _reason(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
