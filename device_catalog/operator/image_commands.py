"""
``tresma image``: make of a root file system what is signed and sent of it, and look into that.

Nothing here needs a catalog. What it makes goes the way of an algorithm: `tresma repository add`, `sign`, `publish` and
`push`, then `tresma rollout start`.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_catalog.contract.images import MAXIMUM_MANIFEST, About, ImageError, ImageManifest, read_manifest
from device_catalog.operator.errors import OperatorError, UsageError
from device_catalog.operator.output import note, say, say_json

AddCommand = Callable[..., argparse.ArgumentParser]

_PACK = """\
ROOTFILE is the bytes of a root slot, as `make image` leaves them beside the card image; what image it is stands in a
small file beside it (--about), or is said here. Two files are written: NAME-VERSION.json, the manifest that is signed,
and NAME-VERSION.image, the payload that it names piece by piece.

examples:
  tresma image pack dist/tresma-rpi-1.2.0.root.ext4 --about dist/tresma-rpi-1.2.0.json -o out
  tresma repository add trust out/tresma-rpi-1.2.0.json        then sign, publish and push, as for algorithms
  tresma rollout start tresma-rpi==1.2.0 --to pilot --percent 1,10,100 --soak 1d
"""
_INSPECT = "example:\n  tresma image inspect out/tresma-rpi-1.2.0.json"
SUFFIX = ".image"


def add_commands(subjects: Any, command: AddCommand, epilog: str) -> None:
    """Add ``image`` with its commands to the command line."""
    subject = subjects.add_parser("image", help="pack and inspect images of meters' root slots", epilog=epilog)
    commands = subject.add_subparsers(required=True, metavar="pack|inspect")

    packing = command(commands, "pack", "make of a root file system what is signed and sent of it", _PACK)
    packing.add_argument("file", type=Path, metavar="ROOTFILE")
    packing.add_argument("--about", type=Path, metavar="FILE", help="which image it is (about/1, JSON)")
    packing.add_argument("--name", default="", help="in the place of what --about says, as the next three")
    packing.add_argument("--version", default="", metavar="N.N.N")
    packing.add_argument("--release", type=int, default=0, metavar="N", help="counts upwards with every release")
    packing.add_argument("--compatible", nargs="+", default=[], metavar="KIND", help="kinds of machine it is for")
    packing.add_argument("--output", "-o", type=Path, default=Path(), metavar="FOLDER", help="(default: here)")
    packing.set_defaults(command=_pack)

    inspecting = command(
        commands, "inspect", "look into a manifest, and whether the payload beside it is right", _INSPECT
    )
    inspecting.add_argument("file", type=Path, metavar="MANIFEST")
    inspecting.set_defaults(command=_inspect)


def read_image(path: Path) -> tuple[ImageManifest, bytes, Path]:
    """
    Read a manifest, and name the payload beside it.

    Raises
    ------
    UsageError
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAXIMUM_MANIFEST + 1)
        return read_manifest(data), data, path.with_suffix(SUFFIX)
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, found: {error.strerror}") from error
    except ImageError as error:
        remedy = "`tresma image pack` makes one"
        raise UsageError(f"{path}: expected the manifest of an image; {remedy}", error.problems) from error


def _pack(options: argparse.Namespace) -> None:
    from device_catalog.packages.files import write_whole  # noqa: PLC0415
    from device_catalog.packages.image_packing import manifest_text, pack_image  # noqa: PLC0415

    about = _about(options)
    path = options.output / f"{about.name}-{about.version}.json"
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        manifest = pack_image(
            options.file,
            about,
            path.with_suffix(SUFFIX),
            compatible=tuple(options.compatible),
            tell=None if options.json else _progress,
        )
        write_whole(path, manifest_text(manifest))
    except ImageError as error:
        raise UsageError(f"{options.file}: expected an image of a root slot", error.problems) from error
    except OSError as error:
        raise OperatorError(f"{error.filename or options.output}: {error.strerror}; nothing was made") from error
    _tell(options, manifest, path)


def _about(options: argparse.Namespace) -> About:
    from device_catalog.contract.images import problems_of_about  # noqa: PLC0415
    from device_catalog.packages.image_packing import read_about  # noqa: PLC0415

    remedy = "give --about FILE, or --name, --version, --release and --compatible"
    try:
        found = About("", "", 0, "") if options.about is None else read_about(options.about)
    except ImageError as error:
        raise UsageError(f"expected to be told which image this is; {remedy}", error.problems) from error
    compatible = options.compatible[0] if options.compatible else found.compatible
    about = About(
        options.name or found.name, options.version or found.version, options.release or found.release, compatible
    )
    problems = problems_of_about(about)
    if problems:
        raise UsageError(f"expected to be told which image this is; {remedy}", problems)
    return about


def _inspect(options: argparse.Namespace) -> None:
    from device_catalog.packages.image_packing import check_payload  # noqa: PLC0415

    manifest, _, payload = read_image(options.file)
    try:
        with payload.open("rb") as file:
            problem = check_payload(manifest, file)
    except OSError as error:
        problem = f"expected the payload beside it, found: {error.strerror}"
    _tell(options, manifest, options.file)
    if problem:
        raise OperatorError(f"{payload}: {problem}")


def _tell(options: argparse.Namespace, manifest: ImageManifest, path: Path) -> None:
    facts = {
        "name": manifest.name,
        "version": manifest.version,
        "release": manifest.release,
        "compatible": manifest.compatible,
        "length": manifest.length,
        "payload_length": manifest.payload_length,
        "sha256": manifest.sha256,
        "manifest": str(path),
    }
    if options.json:
        say_json(facts)
        return
    say(f"{manifest.name} {manifest.version}, release {manifest.release}, for {', '.join(manifest.compatible)}")
    say(f"{manifest.length / 1e6:.1f} MB in a slot, {manifest.payload_length / 1e6:.1f} MB to download")
    say(f"{path}: the manifest; {path.with_suffix(SUFFIX).name} beside it is the payload")


def _progress(share: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rpacking {share:4.0%}" + ("\n" if share >= 1 else ""))
        sys.stderr.flush()
    elif share >= 1:
        note("packed")
