"""Fetching a recording through a catalog that is away for moments."""

import argparse
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from device_catalog.contract.recordings import RecordingEntry
from device_catalog.contract.register import ProblemDocument
from device_catalog.operator import recordings
from device_catalog.operator.errors import CatalogAway, OperatorError
from device_catalog.operator.recordings import RecordingsCatalog
from device_catalog.operator.settings import Settings
from tests.support.recording_labels import info, label

DATA = b"samples"
AWAY = (503, b"")
UNKNOWN = msgspec.json.encode(ProblemDocument("/problems/recording-unknown", "unknown", 404, "none"))
GONE = (0, b"")
"""The connection ends without an answer."""


def entry(state):
    told = datetime(2026, 1, 1, tzinfo=UTC)
    return 200, msgspec.json.encode(RecordingEntry(info(label("m-1", "r-1", DATA)), state, 0, told))


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Fetch from a catalog that gives these answers, one after the other; return what was asked."""
    monkeypatch.setattr(recordings, "LOOK", 0.01)

    def fetch(answers, patience=20.0):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                asked.append((self.command, self.path.rpartition("/")[2]))
                status, content = answers[len(asked) - 1]
                if status:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_PUT = answer  # noqa: N815 - the base class calls these

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        options = argparse.Namespace(recording=["m-1/r-1"], output=str(tmp_path), wait=patience, json=False)
        try:
            with RecordingsCatalog(Settings(catalog=f"http://127.0.0.1:{server.server_port}")) as catalog:
                recordings.fetch(options, catalog)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
        return asked

    return fetch


def test_a_catalog_that_is_away_for_a_moment_does_not_end_the_waiting(fetch, tmp_path, capsys):
    asked = fetch(
        [entry("on-device"), entry("requested"), AWAY, GONE, entry("requested"), entry("here"), GONE, (200, DATA)]
    )
    assert len(asked) == 8
    assert asked[1] == ("PUT", "request")
    assert (tmp_path / "m-1_r-1.cff").read_bytes() == DATA
    assert capsys.readouterr().err.count("asking again") == 2


def test_a_catalog_that_is_away_at_the_beginning_or_for_long_is_told(fetch):
    with pytest.raises(CatalogAway, match="cannot be reached"):
        fetch([GONE])
    with pytest.raises(CatalogAway, match="answered 503"):
        fetch([entry("requested"), *[AWAY] * 10_000], patience=0.1)


def test_what_the_catalog_refuses_is_not_asked_again(fetch):
    with pytest.raises(OperatorError, match="no such recording of m-1"):
        fetch([entry("requested"), (404, UNKNOWN)])
