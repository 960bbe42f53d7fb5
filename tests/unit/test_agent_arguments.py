"""The command line of the agent where its usual file may not be looked for."""

import argparse
import os

from agent.console import arguments

NOBODY = 65534


def test_a_user_who_may_not_look_for_the_usual_file_can_still_give_commands(tmp_path, monkeypatch):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    parser = argparse.ArgumentParser()
    monkeypatch.setattr(arguments, "DEFAULT_CONFIG", closed / "agent.yaml")
    closed.chmod(0)
    if not os.geteuid():
        os.seteuid(NOBODY)
    try:
        arguments.config_option(parser)
    finally:
        os.seteuid(os.getuid())
        closed.chmod(0o700)
    assert parser.parse_args([]).config == closed / "agent.yaml"
    parser = argparse.ArgumentParser()
    arguments.config_option(parser)
    assert parser.parse_args([]).config is None
