"""
Hands what is kept on to a time-series database that takes the line protocol by HTTP: InfluxDB, VictoriaMetrics.

A thread of its own: a database that is slow or away costs the history nothing. The queue has a limit; what does not fit
is a gap there, counted and told, and is still in the history. Batches are sent again until they are taken; one that is
refused for what it holds is let go and counted.
"""

import logging
import queue
import random
import threading
from collections import Counter
from collections.abc import Mapping
from urllib.parse import urlsplit

import requests

from device_catalog.history.arrival import Arrival
from device_catalog.history.line_protocol import line_of

LONGEST_QUEUE = 100_000
"""Records that wait to be handed on."""
BATCH = 5000
"""Lines of one request."""
PATIENCE = 1.0
"""How long a line waits for others [s]."""
TIMEOUT = (5.0, 30.0)
"""To connect, and for an answer [s]."""
LONGEST_PAUSE = 60.0
"""[s]"""

_log = logging.getLogger(__name__)


class LineSink:
    """
    Hands on.

    Parameters
    ----------
    url : str
        Where lines are posted, such as ``http://127.0.0.1:8086/write?db=tresma`` (InfluxDB 1, VictoriaMetrics) or
        ``https://host/api/v2/write?org=dso&bucket=tresma`` (InfluxDB 2).
    token : str
        Sent as ``Authorization: Token …``; empty where the database asks for none.
    longest_queue : int

    Attributes
    ----------
    counts : Counter
        ``sent``, ``gap`` (did not fit), ``refused`` (the database would not take it) and ``retries``.
    """

    def __init__(self, url: str, token: str = "", longest_queue: int = LONGEST_QUEUE) -> None:
        self.counts: Counter[str] = Counter()
        self._new: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._url, self._place = url, urlsplit(url).netloc.rpartition("@")[2]
        self._queue: queue.Queue[Arrival] = queue.Queue(longest_queue)
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Token {token}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history-sink", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Send what waits, as far as that goes within `timeout` [s], and end."""
        self._stopping.set()
        self._thread.join(timeout)

    def offer(self, arrival: Arrival) -> None:
        """Take a record to be handed on; at once, or not at all."""
        try:
            self._queue.put_nowait(arrival)
        except queue.Full:
            if self.counts["gap"] == 0:
                _log.warning("%s does not keep up: records are left out there, and counted", self._place)
            self._count("gap")

    def told(self) -> Mapping[str, int]:
        """Give the counts since this was last asked."""
        with self._lock:
            counts, self._new = self._new, Counter()
        return counts

    def _count(self, name: str, value: int = 1) -> None:
        with self._lock:
            self.counts[name] += value
            self._new[name] += value

    def _run(self) -> None:
        while True:
            lines = self._batch()
            if lines and not self._sent(lines):
                return
            if not lines and self._stopping.is_set():
                return

    def _batch(self) -> list[str]:
        lines: list[str] = []
        try:
            lines.append(line_of(self._queue.get(timeout=0.2)))
            while len(lines) < BATCH:
                lines.append(line_of(self._queue.get(timeout=0.0 if self._stopping.is_set() else PATIENCE)))
        except (queue.Empty, ValueError):
            pass
        return [line for line in lines if line]

    def _sent(self, lines: list[str]) -> bool:
        """Send until it is taken or refused; tell whether to go on."""
        body, pause = "\n".join(lines).encode(), 0.5
        while True:
            trouble = self._post(body, len(lines))
            if not trouble:
                return True
            self._count("retries")
            if self._stopping.is_set():
                _log.warning("%d records are not handed on to %s: %s", len(lines), self._place, trouble)
                self._count("gap", len(lines))
                return False
            _log.warning("%s: %s; again in %.1f s", self._place, trouble, pause)
            self._stopping.wait(random.uniform(0.5, 1.0) * pause)
            pause = min(LONGEST_PAUSE, 2.0 * pause)

    def _post(self, body: bytes, count: int) -> str:
        """Send once; say what was in the way, nothing where the batch is done with."""
        try:
            answer = self._session.post(self._url, data=body, timeout=TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            return type(error).__name__  # its text may hold the address with what authorises
        if answer.ok:
            self._count("sent", count)
            return ""
        if answer.status_code in (401, 403, 404, 408, 429) or answer.status_code >= 500:
            return f"it answers {answer.status_code}"
        self._count("refused", count)
        _log.warning("%s refuses %d records: %d %s", self._place, count, answer.status_code, answer.text[:200])
        return ""
