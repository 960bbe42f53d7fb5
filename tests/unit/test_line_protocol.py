"""Lines that other databases read, and what hands them on: nothing lost unseen, and nobody kept waiting."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.records import Event, Result, Severity
from device_catalog.history.arrival import Arrival, judged
from device_catalog.history.fields import LARGEST
from device_catalog.history.line_protocol import line_of
from device_catalog.history.sink import LineSink
from tests.support.history import SECOND, Speaker, frames
from tests.support.waiting import wait_until

NOW = 1_700_000_000 * SECOND


class Silent(Speaker):
    """Writes messages and says them to nobody."""

    def __init__(self, device="m-1"):
        self.device, self.boot, self._tenant = device, 1, "default"
        self.number, self._before = 0, {}


def arrivals(records, device="m-1"):
    found = [judged(topic, payload, NOW + 10**15) for topic, payload in Silent(device).messages(records)]
    assert all(isinstance(one, Arrival) for one in found)
    return found


class Receiver(ThreadingHTTPServer):
    """A small real server that takes lines, or does not."""

    def __init__(self):
        self.lines, self.answers, self.tokens = [], [], set()
        self.held = threading.Event()
        self.held.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.held.wait(20)
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = receiver.answers.pop(0) if receiver.answers else 204
                receiver.tokens.add(self.headers.get("Authorization"))
                if status < 300:
                    receiver.lines += body.split("\n")
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments):
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/write?db=tresma"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        self.held.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


@pytest.fixture
def receiver():
    running = Receiver()
    yield running
    running.close()


def test_a_frame_is_one_line_with_its_uncertainties():
    (line,) = map(line_of, arrivals(frames(NOW, 1)))
    assert re.fullmatch(r"frame,tenant=default,device=m-1,terminal=T1 \S+ \d+", line)
    fields = dict(part.split("=") for part in line.split(" ")[1].split(","))
    assert float(fields["voltage.A.rms"]) == 230.0
    assert float(fields["voltage.A.u_rms"]) == 0.1
    assert float(fields["u_frequency"]) == 0.001
    assert line.endswith(f" {NOW}")


def test_an_event_names_its_kind_and_a_result_its_schema():
    event = Event("voltage-dip", "T1", NOW, None, Severity.WARNING, ("A",), {"residual_voltage": 180.5})
    result = Result("load-forecast/2", "T1", NOW, {"p": 5.0, "u_p": 0.5, "text": "x", "flag": True})
    lines = [line_of(one) for one in arrivals([event, result])]
    assert lines[0] == (
        "event,tenant=default,device=m-1,terminal=T1,kind=voltage-dip,severity=warning "
        f"residual_voltage=180.5,ended=false {NOW}"
    )
    assert lines[1] == f"result,tenant=default,device=m-1,terminal=T1,name=load-forecast/2 p=5.0,u_p=0.5 {NOW}"


believable = st.floats(-LARGEST, LARGEST)
numbers = st.dictionaries(st.text(max_size=8), believable, min_size=1, max_size=4)


@settings(max_examples=50)
@given(numbers, st.text(max_size=12))
def test_whatever_a_result_is_called_it_stays_one_line(payload, terminal):
    (arrival,) = arrivals([Result("x/1", terminal, NOW, payload)])
    line = line_of(arrival)
    assert "\n" not in line
    assert "\r" not in line
    if line:
        parts = re.split(r"(?<!\\) ", line)
        assert len(parts) == 3
        assert parts[2] == str(NOW)


def test_what_is_offered_arrives_in_order_with_the_token(receiver):
    sink = LineSink(receiver.url, "secret")
    sink.start()
    offered = arrivals(frames(NOW, 50))
    for one in offered:
        sink.offer(one)
    wait_until(lambda: len(receiver.lines) == 50, "all lines")
    sink.stop()
    assert receiver.lines == [line_of(one) for one in offered]
    assert receiver.tokens == {"Token secret"}
    assert sink.counts == {"sent": 50}


def test_a_database_that_is_busy_is_tried_again_and_one_that_refuses_a_batch_loses_it_counted(receiver):
    receiver.answers = [503, 429, 400]
    sink = LineSink(receiver.url)
    sink.start()
    sink.offer(arrivals(frames(NOW, 1))[0])
    wait_until(lambda: sink.counts["refused"] == 1, "the refusal", timeout=20)
    sink.offer(arrivals(frames(NOW, 1))[0])
    wait_until(lambda: sink.counts["sent"] == 1, "the next one")
    sink.stop()
    assert sink.counts == {"retries": 2, "refused": 1, "sent": 1}
    assert sum((sink.told(), sink.told()), start=type(sink.counts)()) == sink.counts


def test_a_database_that_hangs_keeps_nobody_waiting_and_the_gap_is_counted(receiver):
    receiver.held.clear()
    sink = LineSink(receiver.url, longest_queue=10)
    sink.start()
    for one in arrivals(frames(NOW, 200)):
        sink.offer(one)
    assert sink.counts["gap"] >= 180
    receiver.held.set()
    wait_until(lambda: sink.counts["sent"] + sink.counts["gap"] == 200, "the rest")
    sink.stop()
    assert len(receiver.lines) == sink.counts["sent"]


def test_an_end_does_not_wait_for_a_database_that_is_away():
    sink = LineSink("http://127.0.0.1:1/write")
    sink.start()
    for one in arrivals(frames(NOW, 3)):
        sink.offer(one)
    wait_until(lambda: sink.counts["retries"] >= 1, "the first attempt")
    sink.stop(5.0)
    assert sink.counts["gap"] == 3
