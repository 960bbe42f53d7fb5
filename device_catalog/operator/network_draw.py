"""``tresma network draw``: a network document as a one-line diagram."""

import argparse
from collections.abc import Callable
from pathlib import Path

from device_catalog.network_diagram.canvas import Canvas
from device_catalog.network_diagram.diagram import Arrangement, draw
from device_catalog.network_diagram.raster import as_raster
from device_catalog.network_diagram.svg import as_svg
from device_catalog.network_files.writing import write_file
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.network_check import right_document
from device_catalog.operator.output import say, say_json

ENDINGS = (".svg", ".png", ".pdf")

_EXAMPLES = """\
Transformers with their vector groups, switches as they stand normally (open ones in red), loads, generators, measured
places, areas as pale bands, lines coloured by voltage. In an SVG, every symbol tells its data under the pointer.

A tree has the sources above and the longest way straight down; what closes a loop, or could, is shown at both ends with
the name of the other. A map has every node at its position. Names that have no room are left out, and counted.

PNG and PDF are drawn by matplotlib: pip install 'tresma[plots]'. SVG needs nothing.

examples:
  tresma network draw mv.json                                  mv.svg
  tresma network draw lv.json -o lv.png --layout map
"""


def add_verb(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    _remote: Callable[..., argparse.ArgumentParser],
    local: Callable[..., argparse.ArgumentParser],
) -> None:
    """Add ``draw``."""
    parser = local(commands, "draw", "draw a network document as a one-line diagram", _EXAMPLES)
    parser.add_argument("file", metavar="FILE", help="a network document (- for standard input)")
    parser.add_argument(
        "--output", "-o", metavar="PICTURE", help="a .svg, .png or .pdf file (default: the document's name, .svg)"
    )
    parser.add_argument(
        "--layout",
        choices=[one.value for one in Arrangement],
        default=Arrangement.AUTO.value,
        help="tree, map, or auto (the default): a map where the network is large and all positions are known",
    )
    parser.set_defaults(command=draw_file)


def draw_file(options: argparse.Namespace) -> None:
    """Draw a document."""
    if options.file == "-" and not options.output:
        raise UsageError("expected --output PICTURE for a document from standard input")
    target = Path(options.output or Path(options.file).with_suffix(".svg").name)
    kind = target.suffix.lower()
    if kind not in ENDINGS:
        raise UsageError(f"{target}: expected a picture that ends in {', '.join(ENDINGS)}")
    document = right_document(options.file, as_json=options.json)
    try:
        canvas = draw(document, arrangement=Arrangement(options.layout))
    except ValueError as error:
        raise UsageError(f"{options.file}: {error}") from error
    try:
        write_file(target, written(canvas, kind))
    except OSError as error:
        raise OperatorError(f"{target}: expected a picture that can be written, found: {error.strerror}") from error
    if options.json:
        say_json({"file": str(target), "width": canvas.width, "height": canvas.height})
    else:
        say(str(target))


def written(canvas: Canvas, kind: str) -> bytes:
    """
    Write a picture as the file whose ending is `kind`.

    Raises
    ------
    OperatorError
        When what draws is not installed.
    """
    if kind == ".svg":
        return as_svg(canvas).encode()
    try:
        return as_raster(canvas, kind.removeprefix("."))
    except ImportError as error:
        raise OperatorError(
            f"expected matplotlib, which draws PNG and PDF, found: {error}; pip install 'tresma[plots]', or apt "
            "install python3-matplotlib, or draw a .svg"
        ) from error
