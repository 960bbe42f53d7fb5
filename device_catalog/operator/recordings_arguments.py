"""The command line of ``tresma recordings``: its words, options and examples; `recordings` does what they say."""

import argparse
from collections.abc import Callable

from device_catalog.operator import recordings, recordings_ask
from device_catalog.operator.argument_types import count_up_to, seconds
from device_catalog.operator.recordings import RecordingsCatalog
from device_catalog.operator.settings import KEYS, Settings, read_settings

_LIST = """\
examples:
  tresma recordings list
  tresma recordings list m-0042 --limit 10
  tresma recordings list --json | jq 'select(.info.severity == "critical").info.id'
"""

_FETCH = """\
A file that the catalog does not have is asked of its device, which hands it over at its next poll and no faster than
its recorder.upload_rate. Beside each file its label is written as .json.

examples:
  tresma recordings fetch m-0042/20261121T072018100Z
  tresma recordings fetch -o /data m-0042/20261121T072018100Z m-0043/20261121T072018110Z
"""

_PLOT = """\
Waveforms and RMS of voltages and currents; events and gaps are marked. Works on any COMTRADE file.

examples:
  tresma recordings plot m-0042/20261121T072018100Z
  tresma recordings plot m-0042_20261121T072018100Z.cff -o dip.png
  tresma recordings plot other_recorder.cfg -o fault.pdf
"""


_RECORD = """\
For laboratories and installers: no event is needed. The device is asked on the grid broker and must be there; what its
recorder.before and .after say is added. The recording's name is printed once the catalog knows of it.

examples:
  tresma recordings record m-0042 --seconds 2
  tresma recordings plot $(tresma recordings record m-0042)
"""


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: "Callable[..., argparse.ArgumentParser]",
    exit_text: str,
) -> None:
    """
    Add ``recordings list|fetch|plot|record``.

    Parameters
    ----------
    subjects : argparse action
    add : callable
        Adds one command to some commands: takes these, its name, what it does, and examples.
    exit_text : str
        What the exit status means.
    """
    subject = subjects.add_parser("recordings", help="list, fetch and draw recordings of events", epilog=exit_text)
    commands = subject.add_subparsers(required=True, metavar="list|fetch|plot|record")

    listing = add(commands, "list", "list recordings, the newest first", _LIST)
    listing.add_argument("device", metavar="DEVICE", nargs="?", help="only those of this device")
    listing.add_argument(
        "--limit", type=count_up_to(999_999), default=50, metavar="N", help="at most so many (default 50)"
    )
    listing.set_defaults(command=_with_catalog(recordings.show_list))

    fetch = add(commands, "fetch", "fetch the files of recordings", _FETCH)
    fetch.add_argument("recording", metavar="DEVICE/ID", nargs="+")
    fetch.add_argument("--output", "-o", metavar="DIR", help="where to write them (default: here)")
    _wait_argument(fetch)
    fetch.set_defaults(command=_with_catalog(recordings.fetch))

    plot = add(commands, "plot", "draw a recording", _PLOT)
    plot.add_argument("recording", metavar="FILE|DEVICE/ID")
    plot.add_argument(
        "--output", "-o", metavar="PICTURE", help="a .png, .svg or .pdf file (default: the recording's name, .png)"
    )
    _wait_argument(plot)
    plot.set_defaults(command=_plot)

    record = add(commands, "record", "have a device record now", _RECORD)
    record.add_argument("device", metavar="DEVICE")
    record.add_argument("--seconds", type=seconds, default=0.0, metavar="S", help="from now on, at most 60 (default 0)")
    record.add_argument("--grid", metavar="URL", help="grid broker, mqtt://host:port; asked of the catalog otherwise")
    record.set_defaults(command=_record)


def _with_catalog(
    call: Callable[[argparse.Namespace, RecordingsCatalog], None],
) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        with _open(options) as catalog:
            call(options, catalog)

    return command


def _plot(options: argparse.Namespace) -> None:
    recordings.plot(options, lambda: _open(options))


def _record(options: argparse.Namespace) -> None:
    with _open(options) as catalog:
        recordings_ask.record(options, catalog, _settings(options))


def _open(options: argparse.Namespace) -> RecordingsCatalog:
    return RecordingsCatalog(_settings(options))


def _settings(options: argparse.Namespace) -> Settings:
    return read_settings({name: getattr(options, name, None) for name in KEYS})


def _wait_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", type=seconds, default=600.0, metavar="S", help="wait for the device at most S (default 600)"
    )
