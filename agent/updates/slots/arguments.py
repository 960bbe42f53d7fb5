"""What ``tresma-agent slots`` takes, and where everything is on an image."""

import argparse
from pathlib import Path

COMMAND = ("/usr/lib/tresma/slot",)
STATE = Path("/var/lib/tresma-slots")
SOCKET = Path("/run/tresma-slots.sock")
ABOUT = Path("/usr/lib/tresma/image.json")
HEALTH = Path("/run/tresma-health/health.json")
ROOTS = (Path("/etc/tresma/root.json"), Path("/var/lib/tresma/identity/root.json"))
RESTART = ("systemctl", "--no-block", "reboot")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--socket", type=Path, metavar="PATH", help="listen there instead of serving standard input")
    parser.add_argument("--overdue", action="store_true", help="leave an image on trial that nobody confirmed")
    parser.add_argument(
        "--patience", type=float, metavar="S", help="that long after the start [s] (when no agent judges it any more)"
    )
    parser.add_argument("--state", type=Path, default=STATE, metavar="FOLDER", help=f"its own folder ({STATE})")
    parser.add_argument("--about", type=Path, default=ABOUT, metavar="FILE", help=f"which image runs ({ABOUT})")
    parser.add_argument("--health", type=Path, default=HEALTH, metavar="FILE", help=f"the image's verdict ({HEALTH})")
    parser.add_argument("--root", type=Path, action="append", metavar="FILE", help="root of trust to pin at first")
    parser.add_argument("--slot", nargs="+", default=COMMAND, metavar="WORD", help=f"what boots ({COMMAND[0]})")
    parser.add_argument("--restart", nargs="+", default=RESTART, metavar="WORD", help=f"({' '.join(RESTART)})")
