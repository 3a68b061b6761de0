"""Make the notebooks from their sources and execute them, in order, on the embedded sample.

Reads `notebook_sources/NN_*.py` (py:percent); writes `Final_codes/NN_*.ipynb` with outputs, the metadata for
`kaggle kernels push` below `Final_codes/kaggle/`, and the time each notebook took into its source's first table. Run it
by `make notebooks`.

    python Final_codes/notebook_sources/build.py [--no-execute] [--only 03 ...] [--sample small] [--output FOLDER]
                                                    [--kaggle-user NAME]

Without execution the outputs of code cells that did not change are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from pixelplay.sample.dataset import make_sample

SOURCES = Path(__file__).resolve().parent
NOTEBOOKS = SOURCES.parent
TIME = re.compile(r"(\| \*\*time\*\* \| CPU: )\d+ s")
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


def execute(book: nbformat.NotebookNode, folder: Path, *, seconds: int = 3600) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel started in `folder`; raises CellExecutionError at the first failure."""
    NotebookClient(book, timeout=seconds, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
                   record_timing=False, store_widget_state=False).execute()
    for cell in book.cells:
        if "outputs" in cell:
            cell["outputs"] = tidy(cell["outputs"])
    return book


def tidy(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs without progress bars and warnings of other libraries, and what was printed in one piece."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr" or "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            continue
        if kept and output.get("name") == "stdout" == kept[-1].get("name"):
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def keep_outputs(book: nbformat.NotebookNode, earlier: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take over the outputs of another version of the notebook for code cells whose source is the same."""
    before = {c["source"]: c for c in earlier.cells if c["cell_type"] == "code"}
    for cell in book.cells:
        if cell["cell_type"] == "code" and cell["source"] in before:
            cell["outputs"] = tidy(before[cell["source"]]["outputs"])
            cell["execution_count"] = before[cell["source"]]["execution_count"]
    return book


def write_time(source: Path, seconds: float) -> None:
    """Put the seconds a notebook really took into the first table of its source."""
    text, found = TIME.subn(rf"\g<1>{seconds:.0f} s", source.read_text(), count=1)
    if not found:
        raise ValueError(f"{source.name} has no row '| **time** | CPU: N s'")
    source.write_text(text)


def without_paths(text: str, outputs: Path) -> str:
    """Notebook text that names folders as seen from the repository, not where they were on the machine it ran on."""
    return text.replace(str(outputs), "outputs").replace(str(NOTEBOOKS.parent), ".")


def kaggle_slug(stem: str) -> str:
    """Name of a notebook on Kaggle."""
    return f"pixel-play-{stem.replace('_', '-')}"


def kaggle_metadata(source: Path, user: str) -> dict:
    """kernel-metadata.json of one notebook; each takes the outputs of all notebooks before it."""
    stems = [s.stem for s in sources()]
    trains = source.stem not in (stems[0], stems[-1])
    return {
        "id": f"{user}/{kaggle_slug(source.stem)}", "title": kaggle_slug(source.stem).replace("-", " "),
        "code_file": f"../../{source.stem}.ipynb", "language": "python", "kernel_type": "notebook",
        "is_private": True, "enable_gpu": trains, "enable_tpu": False, "enable_internet": True,
        **({"machine_shape": "NvidiaTeslaT4"} if trains else {}), "keywords": [],
        "dataset_sources": [f"{user}/pixel-play-offline"], "competition_sources": ["pixel-play-26"],
        "kernel_sources": [f"{user}/{kaggle_slug(stem)}" for stem in stems[:stems.index(source.stem)]],
        "model_sources": []}


def main() -> int:
    """Build all notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-execute", action="store_true", help="write the notebooks without outputs")
    parser.add_argument("--only", nargs="+", metavar="NN", help="numbers of the notebooks to build; all without it")
    parser.add_argument("--sample", choices=("tiny", "small"), default="tiny",
                        help="size of the embedded sample (tiny: minutes; small: what `make demo` runs on)")
    parser.add_argument("--output", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    parser.add_argument("--kaggle-user", default="YOUR-KAGGLE-NAME", help="owner written into the Kaggle metadata")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        outputs = Path(os.environ.setdefault("PIXELPLAY_OUTPUT", str(Path(scratch) / "outputs"))).resolve()
        os.environ["PIXELPLAY_OUTPUT"] = str(outputs)
        os.environ.setdefault("PIXELPLAY_PROFILE", "lite")
        if not args.no_execute:
            os.environ["PIXELPLAY_DATASET"] = str(make_sample(outputs / "sample", size=args.sample))
        for source in sources():
            if args.only and source.stem[:2] not in args.only:
                continue
            target = args.output / f"{source.stem}.ipynb"
            book = make(source)
            if args.no_execute:
                if target.exists():
                    keep_outputs(book, nbformat.read(target, as_version=4))
            else:
                start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                execute(book, NOTEBOOKS)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                seconds = time.perf_counter() - start
                print(f"{source.stem}: {seconds:.0f} s, {cpu:.0f} s of CPU time", flush=True)
                if args.output == NOTEBOOKS:
                    write_time(source, seconds)
                    book = keep_outputs(make(source), book)
            text = without_paths(nbformat.writes(book) + "\n", outputs)
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
