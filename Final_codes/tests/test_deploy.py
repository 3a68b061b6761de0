"""The examples of a service: the unit is one to systemd, and what they run is a command of this program."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kaggle_folder import REPOSITORY

from pixelplay.watch import command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEPLOY = REPOSITORY / "Final_codes" / "tools" / "deploy"
UNIT, DOCKERFILE = DEPLOY / "pixelplay-watch.service", DEPLOY / "Dockerfile"


def started():
    """The command line of each example."""
    unit = shlex.split(re.search(r"^ExecStart=(.+)$", UNIT.read_text(), re.M)[1])
    docker = json.loads(re.search(r"^ENTRYPOINT (\[.+\])$", DOCKERFILE.read_text(), re.M)[1])
    return {"systemd": unit, "docker": docker}


@pytest.mark.parametrize("where", started())
def test_the_command_is_one_of_this_program(where):
    program, verb, *options = started()[where]
    assert Path(program).name == "pixelplay" and verb == "watch"
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    given = parser.parse_args(options)
    assert given.config == Path("cameras.toml") and given.metrics == 9100


def test_what_docker_installs_and_opens_exists():
    text, project = DOCKERFILE.read_text(), tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = re.search(r'"/src\[([\w,]+)\]"', text)[1].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert re.search(r"^EXPOSE 9100$", text, re.M) and "localhost:9100/health" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_accepts_the_unit(tmp_path):
    program = started()["systemd"][0]
    text = UNIT.read_text()
    for kind, found in {"good": text.replace(program, sys.executable),
                        "bad": text.replace(program, sys.executable).replace("Restart=", "Restarts=")}.items():
        (tmp_path / f"{kind}.service").write_text(found)
        done = subprocess.run(["systemd-analyze", "verify", str(tmp_path / f"{kind}.service")], capture_output=True,
                              text=True, check=False, timeout=60)
        # it warns of the machine's own units, too
        said = [line for line in (done.stdout + done.stderr).splitlines() if f"{kind}.service" in line]
        assert bool(said) == (kind == "bad"), said
