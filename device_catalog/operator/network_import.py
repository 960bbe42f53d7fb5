"""``tresma network import``: a network of another program as a document, and plainly what it has not."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

from msgspec.structs import replace

from algorithms.api.errors import NetworkError
from algorithms.api.network_document import NetworkDocument
from algorithms.api.network_problems import problems
from device_catalog.contract.topics import is_identifier
from device_catalog.network_files.areas import with_areas, with_meters
from device_catalog.network_files.errors import NetworkFileError
from device_catalog.network_files.imported import Difference, Imported, Remarks
from device_catalog.network_files.summary import summarise, summary_lines
from device_catalog.network_files.writing import as_text, write_file
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.network_check import refuse
from device_catalog.operator.output import note, say, say_json

EUROPEAN_LV = "european-lv"

GOOD = 1e-6
"""Difference of voltages up to which a document says the same as its source [1]."""

_EXAMPLES = """\
SOURCE is one of:
  net.json                  a net that pandapower saved (open only files you trust: pandapower loads what they name)
  Master.dss                a master file of OpenDSS, which is run and solved
  pandapower:NAME           a net that comes with pandapower, such as pandapower:create_cigre_network_mv; arguments
                            like pandapower:create_cigre_network_mv?with_der=pv_wind
  european-lv               the European low-voltage test feeder of the IEEE PES Test Feeder Working Group: 906 nodes,
                            55 single-phase customers, 11/0.416 kV transformer; data as pandapower has them

What the document cannot say, says otherwise, or states of its own is listed. Both programs' voltages are compared.
Needs the extra `import`: pip install 'tresma[import]'.

examples:
  tresma network import european-lv -o lv.json --areas --concentrators --meters
  tresma network import pandapower:mv_oberrhein -o mv.json --id oberrhein
  tresma network import feeder/Master.dss -o feeder.json
  tresma network import my-net.json | tresma network check -
"""


def add_verb(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    _remote: Callable[..., argparse.ArgumentParser],
    local: Callable[..., argparse.ArgumentParser],
) -> None:
    """Add ``import``."""
    parser = local(commands, "import", "take a network over from pandapower or OpenDSS", _EXAMPLES)
    parser.add_argument("source", metavar="SOURCE", help="a file or a name, see below")
    parser.add_argument("--output", "-o", metavar="FILE", help="write the document there (default: standard output)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument("--id", metavar="ID", help="id of the network (default: after its name)")
    parser.add_argument("--name", metavar="TEXT", help="what people call it")
    parser.add_argument("--revision", type=int, metavar="N", default=1, help="revision of the document (default 1)")
    parser.add_argument("--areas", action="store_true", help="an LV area for each MV/LV transformer, and the MV area")
    parser.add_argument(
        "--concentrators", action="store_true", help="with --areas: one more for each feeder bus with service lines"
    )
    parser.add_argument("--meters", action="store_true", help="a measured terminal at every load and MV/LV transformer")
    parser.add_argument("--no-compare", action="store_true", help="do not solve the document to compare voltages")
    parser.set_defaults(command=import_network)


def import_network(options: argparse.Namespace) -> None:
    """Read a source, add what was asked for, write the document, and say what it has not."""
    target = _target(options)
    _judge(options)
    started = time.monotonic()
    _progress(f"reading {options.source}")
    try:
        imported = _read(options.source)
    except NetworkFileError as error:
        raise OperatorError(str(error)) from error
    imported = _completed(imported, options)
    found = problems(imported.document)
    compared = None
    if not found and not options.no_compare:
        _progress(f"solving {len(imported.document.nodes)} nodes")
        compared = _compared(imported)
    _write(imported.document, target)
    _tell(imported, compared, options, time.monotonic() - started)
    if found:
        refuse(options.output or options.source, found, as_json=options.json, everything=False)


def _target(options: argparse.Namespace) -> Path | None:
    if not options.output or options.output == "-":
        if options.json:
            raise UsageError("expected --output FILE with --json: the document and the report cannot both be printed")
        return None
    target = Path(options.output)
    if target.exists() and not options.force:
        raise UsageError(f"{target}: expected a file that is not there yet; name another, or say --force")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: expected a folder that exists, found none of this name")
    return target


def _judge(options: argparse.Namespace) -> None:
    if options.id is not None and not is_identifier(options.id):
        raise UsageError(f"expected an id of letters, digits, _ and - (at most 64), found {options.id}")
    if options.concentrators and not options.areas:
        raise UsageError("expected --areas with --concentrators: a concentrator is a part of a low-voltage area")


def _read(source: str) -> Imported:
    # What reads other programs' files takes half a second to load, which no other command should pay.
    from device_catalog.network_files import opendss_import, pandapower_import  # noqa: PLC0415

    if source == EUROPEAN_LV:
        return pandapower_import.read_european_lv()
    kind, _, rest = source.partition(":")
    if kind == "pandapower":
        name, _, query = rest.partition("?")
        return pandapower_import.read_example(name, dict(parse_qsl(query)))
    file = Path(source)
    if not file.is_file():
        raise UsageError(
            f"{source}: expected a .json file of pandapower, a .dss file of OpenDSS, pandapower:NAME or {EUROPEAN_LV}, "
            "found no such file"
        )
    if file.suffix.lower() == ".dss":
        return opendss_import.read_file(file)
    if file.suffix.lower() == ".json":
        return pandapower_import.read_file(file)
    raise UsageError(f"{source}: expected a name that ends in .json (pandapower) or .dss (OpenDSS)")


def _completed(imported: Imported, options: argparse.Namespace) -> Imported:
    remarks, document = Remarks(), imported.document
    if options.meters:
        document = with_meters(document)
    if options.areas:
        document = with_areas(document, remarks, concentrators=options.concentrators)
    document = replace(
        document,
        network=options.id or document.network,
        name=document.name if options.name is None else options.name,
        revision=options.revision,
    )
    return replace(imported, document=document, remarks=(*imported.remarks, *remarks.found()))


def _compared(imported: Imported) -> Difference | str | None:
    from device_catalog.network_files.comparison import difference  # noqa: PLC0415 - loads the solver

    try:
        return difference(imported)
    except (NetworkError, ValueError) as error:
        return str(error)


def _write(document: NetworkDocument, target: Path | None) -> None:
    text = as_text(document)
    if target is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        write_file(target, text.encode())
    except OSError as error:
        raise OperatorError(f"{target}: expected a file that can be written, found: {error.strerror}") from error


def _tell(imported: Imported, compared: Difference | str | None, options: argparse.Namespace, elapsed: float) -> None:
    """Say what was read; beside the document where that goes to standard output."""
    if options.json:
        say_json(
            {
                "file": options.output,
                "origin": imported.origin,
                "remarks": imported.remarks,
                "difference": compared,
                "summary": None if problems(imported.document) else summarise(imported.document),
                "seconds": round(elapsed, 3),
            }
        )
        return
    tell = say if options.output and options.output != "-" else note
    tell(f"{options.output or options.source}: from {imported.origin}")
    if not problems(imported.document):
        for line in summary_lines(summarise(imported.document)):
            tell(line)
    for remark in imported.remarks:
        tell(f"  {remark}")
    if isinstance(compared, Difference):
        verdict = "" if compared.relative <= GOOD else ": see what is changed or left out"
        tell(
            f"  compared: {compared.compared} voltages agree with that program's within {compared.relative:.1g} of "
            f"nominal (worst at {compared.place}){verdict}"
        )
    elif compared:
        tell(f"  not compared: {compared}")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        note(f"{text} ...")
