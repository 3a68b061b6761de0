"""Make the notebooks from their sources and execute them, in order, on the embedded sample.

Reads `notebook_sources/NN_*.py` (py:percent); writes `Final_codes/NN_*.ipynb` with outputs, the metadata for
`kaggle kernels push` below `Final_codes/kaggle/`, and the time each notebook took into its source's first table. Run it
by `make notebooks`.

    python Final_codes/notebook_sources/build.py [--no-execute] [--only 03 ...] [--sample small] [--output FOLDER]
                                                    [--kaggle-user NAME] [--repository URL]

A code cell that holds nothing but `# bootstrap` becomes `bootstrap.py`, with its input hidden. Without execution the
outputs of code cells that did not change are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from pixelplay.sample.dataset import make_sample

SOURCES = Path(__file__).resolve().parent
NOTEBOOKS = SOURCES.parent
TIME = re.compile(r"(\| \*\*time\*\* \| CPU: )\d+ s")
BOOTSTRAP = "# bootstrap"
HIDDEN = {"jupyter": {"source_hidden": True}, "_kg_hide-input": True}
"""Metadata of a cell whose input is folded, for Jupyter and for Kaggle."""
PICTURE = re.compile(r"\]\(\.\./(Visuals/[\w.-]+)\)")
"""Address of a committed picture in a markdown cell."""
LARGEST = 600_000
"""Bytes a committed notebook may have: web pages refuse to render large ones."""


def sources() -> list[Path]:
    """The py:percent sources in order."""
    return sorted(SOURCES.glob("0*.py"))


def make(source: Path, *, repository: str = "") -> nbformat.NotebookNode:
    """Notebook of a source, without outputs. Cell ids come from position and text, so rebuilding changes nothing.

    Args:
        repository: address of the repository on GitHub. With one, the bootstrap cell clones it, pictures are shown
            from there (Kaggle and Colab hold the notebook alone), and the first cell has badges.
    """
    book = jupytext.read(source)
    for place, cell in enumerate(book.cells):
        cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k == "tags"}
        if cell["source"] == BOOTSTRAP:
            cell["source"] = (SOURCES / "bootstrap.py").read_text().rstrip()
            cell["metadata"] = dict(HIDDEN)
            if repository:
                cell["source"] = cell["source"].replace('REPOSITORY = ""', f'REPOSITORY = "{repository}"')
        elif repository and cell["cell_type"] == "markdown":
            cell["source"] = PICTURE.sub(rf"]({repository}/raw/main/\1)", cell["source"])
        if repository and place == 0:
            cell["source"] += "\n\n" + badges(source.stem, repository)
        cell["id"] = hashlib.sha256(f"{source.stem} {place} {cell['source']}".encode()).hexdigest()[:12]
    book.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                     "language_info": {"name": "python"}}
    return book


def badges(stem: str, repository: str) -> str:
    """Markdown of two buttons that open a notebook in Colab and on Kaggle."""
    page = f"{repository}/blob/main/Final_codes/{stem}.ipynb"
    colab = page.replace("https://github.com/", "https://colab.research.google.com/github/")
    return (f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}) "
            f"[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
            f"(https://kaggle.com/kernels/welcome?src={page})")


def execute(book: nbformat.NotebookNode, folder: Path, *, parameters: Mapping[str, str] | None = None,
            seconds: int = 3600) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel started in `folder`; raises CellExecutionError at the first failure.

    Args:
        parameters: values that replace those of the parameters cell while it runs; the cell itself stays as it is.
    """
    cell = next(c for c in book.cells if "parameters" in c["metadata"].get("tags", []))
    source = cell["source"]
    cell["source"] += "".join(f"\n{name} = {value!r}" for name, value in (parameters or {}).items())
    NotebookClient(book, timeout=seconds, kernel_name="python3", resources={"metadata": {"path": str(folder)}},
                   record_timing=False, store_widget_state=False).execute()
    cell["source"] = source
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
    """kernel-metadata.json of one notebook; each takes the outputs of all stages before it, the quickstart none."""
    stems = [s.stem for s in sources()]
    stages = stems[1:]
    trains = source.stem in stages[1:-1]
    earlier = stages[:stages.index(source.stem)] if source.stem in stages else []
    return {
        "id": f"{user}/{kaggle_slug(source.stem)}", "title": kaggle_slug(source.stem).replace("-", " "),
        "code_file": f"../../{source.stem}.ipynb", "language": "python", "kernel_type": "notebook",
        "is_private": True, "enable_gpu": trains, "enable_tpu": False, "enable_internet": True,
        **({"machine_shape": "NvidiaTeslaT4"} if trains else {}), "keywords": [],
        "dataset_sources": [f"{user}/pixel-play-offline"], "competition_sources": ["pixel-play-26"],
        "kernel_sources": [f"{user}/{kaggle_slug(stem)}" for stem in earlier],
        "model_sources": []}


def main() -> int:
    """Build all notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-execute", action="store_true", help="write the notebooks without outputs")
    parser.add_argument("--only", nargs="+", metavar="NN", help="numbers of the notebooks to build; all without it")
    parser.add_argument("--sample", choices=("tiny", "small"), default="tiny",
                        help="size of the embedded sample (tiny: minutes; small: what `make demo` runs on)")
    parser.add_argument("--profile", choices=("smoke", "lite", "full"), default="lite", help="profile they run with")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="where they write what they make, to go on there "
                        "with --only; a temporary folder without it")
    parser.add_argument("--output", type=Path, default=NOTEBOOKS, help="folder of the notebooks")
    parser.add_argument("--kaggle-user", default="YOUR-KAGGLE-NAME", help="owner written into the Kaggle metadata")
    parser.add_argument("--repository", default="", metavar="URL", help="https://github.com/OWNER/NAME: adds badges, "
                        "and lets the notebooks clone it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        outputs = (args.run or Path(scratch) / "outputs").resolve()
        parameters = {"OUTPUT": str(outputs)}
        if not args.no_execute:
            parameters |= {"DATA": str(make_sample(outputs / "sample", size=args.sample)), "PROFILE": args.profile}
        for source in sources():
            if args.only and source.stem[:2] not in args.only:
                continue
            target = args.output / f"{source.stem}.ipynb"
            book = make(source, repository=args.repository)
            if args.no_execute:
                if target.exists():
                    keep_outputs(book, nbformat.read(target, as_version=4))
            else:
                start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                execute(book, NOTEBOOKS, parameters=parameters)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                seconds = time.perf_counter() - start
                print(f"{source.stem}: {seconds:.0f} s, {cpu:.0f} s of CPU time", flush=True)
                if args.output == NOTEBOOKS:
                    write_time(source, seconds)
                    book = keep_outputs(make(source, repository=args.repository), book)
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
