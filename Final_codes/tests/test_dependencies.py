"""What the package imports is declared, what is declared is imported, and what the lite profile needs is permissive."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it")
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "Final_codes" / "pixelplay"
MODULE = {"opencv-python": "cv2", "pillow": "PIL", "paho-mqtt": "paho", "prometheus-client": "prometheus_client"}
"""Distributions whose module has another name."""
TOOLS = {"pytest", "ruff", "psutil", "open_clip_torch", "hypothesis", "jupyter", "nbclient", "nbformat", "jupytext",
         "pytest-xdist", "mypy", "import-linter", "scikit-learn", "playwright", "axe-playwright-python"}
"""Of tests and notebook building: the package imports none of them."""


def declared(lines: list[str]) -> dict[str, str]:
    """Distribution -> requirement."""
    return {re.match(r"[A-Za-z0-9_.-]+", line).group(): line for line in lines}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def imported(file: Path) -> set[str]:
    """Top-level modules of other packages a file imports, by statement or through `require_package`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require_package":
            found.add(node.args[0].value)
    return {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {"pixelplay"}


def test_imports_and_declarations_agree(project):
    used = set().union(*(imported(file) for file in PACKAGE.rglob("*.py")))
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    names = set(declared([*project["dependencies"], *extras])) - {"pixelplay"}
    assert used == {MODULE.get(name, name) for name in names - TOOLS}


def test_the_plain_install_holds_nothing_optional(project):
    plain = declared(project["dependencies"])
    assert not {"ultralytics", "onnxruntime", "av", "jupyter", "huggingface_hub"} & set(plain)
    assert project["optional-dependencies"]["yolo"] == ["ultralytics>=8.2"]
    assert "pixelplay[yolo,yolox,video,mqtt,dask,metrics,notebooks]" in project["optional-dependencies"]["dev"]


def test_requirements_are_the_plain_install_and_what_the_full_profile_adds(project):
    lines = [li for li in (ROOT / "requirements.txt").read_text().splitlines() if li and not li.startswith("#")]
    extras = project["optional-dependencies"]
    # Kaggle's Python is newer than what a line with a condition is for
    plain = [line for line in project["dependencies"] if ";" not in line]
    assert sorted(lines) == sorted([*plain, *extras["yolo"], *extras["yolox"], *extras["video"]])


def test_an_installed_package_holds_its_data(project):
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pixelplay"]
    held = {p for pattern in data for p in PACKAGE.glob(pattern)}
    needed = {p for p in PACKAGE.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc", ".md")}
    assert needed and needed <= held, needed - held
