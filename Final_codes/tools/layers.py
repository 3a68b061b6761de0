"""Generates Final_codes/pixelplay/README.md, the map of the package, from its imports and docstrings.

    python Final_codes/tools/layers.py

Reads the import statements of every module and, from the docstring of each `__init__`, the paragraphs `Reads:`,
`Makes:` and `Open:` (which file to open for which change).
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grimp

PACKAGE = Path(__file__).resolve().parents[1] / "pixelplay"
TARGET, PYPROJECT = PACKAGE / "README.md", PACKAGE.parents[1] / "pyproject.toml"
PARTS = ("Reads", "Makes", "Open")
HEAD = """# Inside `pixelplay`

Frames -> `Footage` -> `Detector` (models and calibration, learnt from normal footage) -> score files -> one ensemble ->
submission, report, alarms. An arrow leads from a subpackage to one that imports it; where `a --> b --> c` is drawn,
`a --> c` is left out. Models hand their scores to `fusion` as files. `make lint` checks the order.
"""
FOOT = """
This page is made by `python Final_codes/tools/layers.py`; a test fails where it is older than imports and docstrings.
"""


def docstring(folder: Path) -> str:
    """The docstring of a package."""
    return ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""


def parts(text: str) -> dict[str, str]:
    """'title' (first line) and the paragraphs `Reads:`, `Makes:` and `Open:` of a docstring, each as one line.

    Raises:
        ValueError: a paragraph is missing.
    """
    found = {"title": text.partition("\n")[0]}
    for part in PARTS:
        match = re.search(rf"^{part}: (.+(?:\n +.+)*)", text, re.MULTILINE)
        if match is None:
            raise ValueError(f"no paragraph '{part}:' after: {found['title']}")
        found[part] = " ".join(match[1].split()).rstrip(".")
    return found


def subpackages() -> dict[str, set[str]]:
    """Subpackage -> subpackages it imports, the lowest first."""
    graph = grimp.build_graph("pixelplay", exclude_type_checking_imports=True, cache_dir=None)
    names = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))
    for name in names:
        graph.squash_module(f"pixelplay.{name}")
    uses = {name: {other for other in names if graph.direct_import_exists(
        importer=f"pixelplay.{name}", imported=f"pixelplay.{other}")} for name in names}
    return {name: uses[name] for name in sorted(names, key=order().index)}


def order() -> list[str]:
    """Top-level modules and subpackages, the lowest layer first, as in pyproject.toml."""
    layers = re.search(r"^layers = \[(.+?)^\]", PYPROJECT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return re.findall(r"\w+", layers[1])[::-1] if layers else []


def direct(uses: dict[str, set[str]]) -> list[tuple[str, str]]:
    """(imported, importer) of the arrows that no longer path implies."""
    below: dict[str, set[str]] = {}
    for name, others in uses.items():
        below[name] = others.union(*(below[o] for o in others))
    return [(other, name) for name, others in uses.items() for other in sorted(others)
            if not any(other in below[between] for between in others - {other})]


def page() -> str:
    """The text of the page."""
    uses = subpackages()
    lines = ["```mermaid", "graph LR", *(f"    {name}" for name in uses),
             *(f"    {imported} --> {importer}" for imported, importer in direct(uses)), "```", "",
             "| subpackage | reads | makes | open this file to change ... |", "|---|---|---|---|"]
    rows = {"(top level)": PACKAGE, **{name: PACKAGE / name for name in uses}}
    for name, folder in rows.items():
        said = parts(docstring(folder))
        lines.append(f"| **{name}**: {said['title'].rstrip('.')} | " + " | ".join(said[p] for p in PARTS) + " |")
    return HEAD + "\n" + "\n".join(lines) + "\n" + FOOT


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(TARGET)
