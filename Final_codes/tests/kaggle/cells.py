"""Run cells in a fresh IPython kernel of another environment: cells.py PYTHON CELLS.json RESULTS.json

CELLS.json is a list of cells' texts. RESULTS.json, written after each cell, is a list of [text it showed, whether it
ended in an error].
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


class Kernel(AsyncKernelManager):
    """A kernel of the Python named on the command line, with its programs first on the path."""

    def __init__(self, **traits):
        super().__init__(transport="ipc", **traits)

    @property
    def kernel_spec(self) -> KernelSpec:
        python = sys.argv[1]
        path = os.pathsep.join((str(Path(python).parent), os.environ["PATH"]))
        return KernelSpec(argv=[python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                          env={"PATH": path, "VIRTUAL_ENV": str(Path(python).parents[1])})


def main() -> int:
    """Run all cells, each after the one before, whether or not it ended in an error."""
    cells = json.loads(Path(sys.argv[2]).read_text())
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    client, results = NotebookClient(book, timeout=1800, allow_errors=True, kernel_manager_class=Kernel), []
    with client.setup_kernel():
        for place, cell in enumerate(book.cells):
            print(f"-- cell {place + 1}:\n{cell['source'].rstrip()}", flush=True)
            start = time.perf_counter()
            outputs = client.execute_cell(cell, place)["outputs"]
            shown = "".join(shown_text(output) for output in outputs)
            results.append([shown, any(output["output_type"] == "error" for output in outputs)])
            Path(sys.argv[3]).write_text(json.dumps(results))
            # of a progress bar, what it showed last
            lines = [line.rstrip("\r").rpartition("\r")[2] for line in shown.split("\n") if line.strip()]
            print("\n".join(f"   {line}" for line in lines[-25:]))
            print(f"   ({time.perf_counter() - start:.0f} s)", flush=True)
    return 0


def shown_text(output: nbformat.NotebookNode) -> str:
    """What a reader sees of one output of a cell."""
    if output["output_type"] == "stream":
        return output["text"]
    if output["output_type"] == "error":
        return "\n".join(output["traceback"]) + "\n"
    return "".join(output.get("data", {}).get("text/plain", "")) + "\n"


if __name__ == "__main__":
    sys.exit(main())
