"""The command line of ``tresma support``: its words, options and examples; `support` does what they say."""

import argparse
import re
from collections.abc import Callable

from device_catalog.contract.support import LONGEST_TAIL, LogLevel
from device_catalog.operator import support
from device_catalog.operator.settings import KEYS, read_settings
from device_catalog.operator.support import SupportCatalog

_REQUEST = """\
The meter is told at its next poll, at once where the grid broker reaches it. What is in the bundle is fixed: logs,
settings without secrets, health history, versions, isolation, the state of disk, memory and time, the newest
recordings. The catalog keeps it for 30 days. Who asked and why is written down, and who fetched it.

examples:
  tresma support request m-0042 --reason "silent since Tuesday"
  tresma support request m-0042 --wait 300 -o cases/
"""

_GET = """\
examples:
  tresma support get m-0042                 its newest bundle
  tresma support get m-0042/s-17 --wait 300 -o cases/
  tar xzf tresma-support-m-0042-s-17.tar.gz && less */README.txt
"""

_LIST = """\
examples:
  tresma support list
  tresma support list m-0042 --json | jq '{request, author, reason, state}'
"""

_LOGS = """\
Lines at or above --level come by the grid broker while the meter is told to, and stop by themselves, whatever becomes
of this program or the catalog: a meter tells at most an hour at a time and six hours a day. Secrets are left out on the
meter.

examples:
  tresma support logs m-0042 --for 10m --follow --reason "calls on channel 3"
  tresma support logs m-0042 --for 1h --level warning
"""

_FOLLOW = """\
examples:
  tresma support follow m-0042              the newest log that was asked for, also when it is over
  tresma support follow m-0042/s-18 --json > lines.jsonl
"""

_END = """\
A log stops, a bundle is waited for no more, and one that is here is dropped.

examples:
  tresma support end m-0042/s-18
"""


def add_commands(
    subjects: "argparse._SubParsersAction[argparse.ArgumentParser]",
    add: "Callable[..., argparse.ArgumentParser]",
    exit_text: str,
) -> None:
    """
    Add ``support request|get|list|logs|follow|end``.

    Parameters
    ----------
    subjects : argparse action
    add : callable
        Adds one command to some commands: takes these, its name, what it does, and examples.
    exit_text : str
        What the exit status means.
    """
    subject = subjects.add_parser("support", help="find out from afar what is wrong with a meter", epilog=exit_text)
    commands = subject.add_subparsers(required=True, metavar="request|get|list|logs|follow|end")

    request = add(commands, "request", "ask a meter for a support bundle", _REQUEST)
    request.add_argument("device", metavar="METER")
    _reason_argument(request)
    _wait_argument(request, "wait for it at most S, then write it")
    request.set_defaults(command=_with_catalog(support.request))

    get = add(commands, "get", "fetch a support bundle", _GET)
    get.add_argument("request", metavar="METER[/REQUEST]")
    _wait_argument(get, "wait for it at most S (default 0)")
    get.set_defaults(command=_with_catalog(support.get))

    listing = add(commands, "list", "list what was asked for, by whom, and what became of it", _LIST)
    listing.add_argument("device", metavar="METER", nargs="?", help="only of this one")
    listing.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default 50)")
    listing.set_defaults(command=_with_catalog(support.show_list))

    logs = add(commands, "logs", "have a meter tell its log for a while", _LOGS)
    logs.add_argument("device", metavar="METER")
    logs.add_argument(
        "--for", dest="seconds", type=_duration, default=600.0, metavar="TIME", help="30s, 10m, 1h (default 10m)"
    )
    logs.add_argument("--level", choices=[level.value for level in LogLevel], default="info", help="default info")
    logs.add_argument("--follow", "-f", action="store_true", help="show the lines as they come; Ctrl-C ends the log")
    _reason_argument(logs)
    logs.set_defaults(command=_with_catalog(support.logs))

    follow = add(commands, "follow", "show the lines of a log that is, or was, told", _FOLLOW)
    follow.add_argument("request", metavar="METER[/REQUEST]")
    follow.set_defaults(command=_with_catalog(support.follow))

    end = add(commands, "end", "end requests", _END)
    end.add_argument("request", metavar="METER/REQUEST", nargs="+")
    end.set_defaults(command=_with_catalog(support.end))


def _with_catalog(
    call: Callable[[argparse.Namespace, SupportCatalog], None],
) -> Callable[[argparse.Namespace], None]:
    def command(options: argparse.Namespace) -> None:
        said = {name: getattr(options, name, None) for name in KEYS}
        with SupportCatalog(read_settings(said)) as catalog:
            call(options, catalog)

    return command


def _reason_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", default="", help="why, for whoever reads the trail later")


def _wait_argument(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--wait", type=_seconds, default=0.0, metavar="S", help=text)
    parser.add_argument("--output", "-o", metavar="PLACE", help="a folder, or the file to write (default: here)")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, found {text}")
    return value


def _duration(text: str) -> float:
    """
    Read a length of time [s].

    >>> _duration("10m"), _duration("30s"), _duration("1h")
    (600.0, 30.0, 3600.0)
    """
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else -1.0
    if not 1.0 <= seconds <= LONGEST_TAIL:
        raise argparse.ArgumentTypeError(f"expected a time such as 30s or 10m, at most 1h, found {text}")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
    return int(text)
