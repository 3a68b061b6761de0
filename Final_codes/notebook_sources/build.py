"""Make the notebooks from their sources and execute them, in order, on the embedded sample.

Reads `notebook_sources/NN_*.py` (py:percent); writes `Final_codes/NN_*.ipynb` with outputs, and the metadata for
`kaggle kernels push` below `Final_codes/kaggle/`. Run it by `make notebooks`.

    python Final_codes/notebook_sources/build.py [--no-execute] [--output FOLDER] [--kaggle-user NAME]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

SOURCES = Path(__file__).resolve().parent
NOTEBOOKS = SOURCES.parent
LARGEST = 600_000
"""Bytes a committed notebook may have: web pages refuse to render large ones."""


def sources() -> list[Path]:
    """The py:percent sources in order."""
    return sorted(SOURCES.glob("0*.py"))


def make(source: Path) -> nbformat.NotebookNode:
    """Notebook of a source, without outputs. Cell ids come from position and text, so rebuilding changes nothing."""
    book = jupytext.read(source)
    for place, cell in enumerate(book.cells):
        cell["id"] = hashlib.sha256(f"{source.stem} {place} {cell['source']}".encode()).hexdigest()[:12]
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    book.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
    return book


def execute(book: nbformat.NotebookNode, folder: Path, *, seconds: int = 900) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel started in `folder`; raises CellExecutionError at the first failure."""
    NotebookClient(book, timeout=seconds, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
                   record_timing=False).execute()
    for cell in book.cells:
        for output in cell.get("outputs", []):
            # progress bars and warnings of other libraries: noise in a committed file
            if output.get("name") == "stderr":
                output["text"] = ""
        if "outputs" in cell:
            cell["outputs"] = [o for o in cell["outputs"] if o.get("name") != "stderr"]
    return book


def kaggle_metadata(source: Path, user: str) -> dict:
    """kernel-metadata.json of one notebook; each takes the outputs of all notebooks before it."""
    stems = [s.stem for s in sources()]
    slug = lambda stem: f"pixel-play-{stem.replace('_', '-')}"  # noqa: E731
    return {
        "id": f"{user}/{slug(source.stem)}", "title": slug(source.stem).replace("-", " "),
        "code_file": f"../../{source.stem}.ipynb", "language": "python", "kernel_type": "notebook",
        "is_private": True, "enable_gpu": source.stem[:2] not in ("01", "07"), "enable_tpu": False,
        "enable_internet": True, "machine_shape": "NvidiaTeslaT4" if source.stem[:2] not in ("01", "07") else "",
        "dataset_sources": [f"{user}/pixel-play-code"], "competition_sources": ["pixel-play-26"],
        "kernel_sources": [f"{user}/{slug(stem)}" for stem in stems[:stems.index(source.stem)]], "model_sources": []}


def main() -> int:
    """Build all notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-execute", action="store_true", help="write the notebooks without outputs")
    parser.add_argument("--output", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    parser.add_argument("--kaggle-user", default="YOUR-KAGGLE-NAME", help="owner written into the Kaggle metadata")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("PIXELPLAY_OUTPUT", str(Path(scratch) / "outputs"))
        for source in sources():
            book = make(source)
            if not args.no_execute:
                print(f"executing {source.stem}", flush=True)
                execute(book, NOTEBOOKS)
            target = args.output / f"{source.stem}.ipynb"
            text = nbformat.writes(book) + "\n"
            text = text.replace(os.environ["PIXELPLAY_OUTPUT"], "outputs").replace(str(NOTEBOOKS.parent), ".")
            if len(text) > LARGEST:
                print(f"{target.name}: {len(text)} bytes, allowed {LARGEST}: make its figures smaller", file=sys.stderr)
                return 1
            target.write_text(text)
            if args.output == NOTEBOOKS:
                meta = NOTEBOOKS / "kaggle" / source.stem / "kernel-metadata.json"
                meta.parent.mkdir(parents=True, exist_ok=True)
                meta.write_text(json.dumps(kaggle_metadata(source, args.kaggle_user), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
