"""Every attack ends in a result with all Ids, or in one clear error; within limits of time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import ATTACKS

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """(group, name) -> (how it ended, in words); in a process of its own, whose memory is limited."""
    done = subprocess.run([sys.executable, str(HERE / "attacks.py")], capture_output=True, text=True,
                          cwd=tmp_path_factory.mktemp("attacks"),
                          env={"PYTHONPATH": str(HERE.parent), "TQDM_DISABLE": "1", "PATH": "/usr/bin:/bin"})
    found = {(one["group"], one["name"]): (one["end"], one["words"])
             for one in map(json.loads, done.stdout.splitlines())}
    assert len(found) == len(ATTACKS), done.stderr[-2000:]
    return found


@pytest.mark.parametrize(("group", "name"), [pytest.param(group, name, id=f"{group}-{i}")
                                             for i, (group, name, _) in enumerate(ATTACKS)])
def test_a_result_or_a_clear_error(ends, group, name):
    end, words = ends[group, name]
    assert end in ("result", "error"), f"{name}: {end}: {words}"
    if end == "error":
        assert words.splitlines()[0].strip()
        assert "Traceback" not in words
