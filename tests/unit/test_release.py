"""What a release states of its time: a meter without a clock believes it."""

import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.trust.decisions import RELEASED

ROOT = Path(__file__).parents[2]
DAY = timedelta(days=1)


def released():
    return datetime.fromtimestamp(RELEASED, UTC)


def test_the_time_of_release_is_not_to_come():
    assert time.time() > RELEASED, "raise RELEASED to the day of the release, or set this machine's clock"


def test_the_time_of_release_is_no_older_than_the_newest_version_of_the_changelog():
    dates = re.findall(r"^## \[[0-9][^]]*\] - (\d{4}-\d\d-\d\d)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    newest = max((datetime.fromisoformat(date).replace(tzinfo=UTC) for date in dates), default=released())
    assert released() >= newest, "raise RELEASED with the release"


def test_the_time_of_release_is_no_older_than_the_newest_tag():
    """A copy without its history cannot tell, and has no tag that could be newer."""
    command = ["git", "-C", str(ROOT), "tag", "--list", "v*", "--format=%(creatordate:unix)"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.split()
    except FileNotFoundError:
        said = []
    newest = max((datetime.fromtimestamp(int(text), UTC) for text in said), default=released())
    assert released() > newest - 2 * DAY, "raise RELEASED with the release"
