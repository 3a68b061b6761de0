"""README's Kaggle cells, run literally on something like Kaggle's image: `make kaggle` runs it last.

Two sessions, each in a fresh copy of the image, with the competition's data read-only where Kaggle mounts them and
nothing else attached but what README says:

    with internet       the data where they were mounted before 2026; the code cloned, packages installed by pip
    internet off        the data where they are mounted since; the dataset that `pixelplay fetch` made

A third one runs the first notebook with internet off. Mounts and networks of its own take Linux and root.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import image
from competition import check_scores, check_submission, make_competition
from full_profile import REPOSITORY, SCRATCH, check_preflight
from weights import make_weights

sys.path.insert(0, str(REPOSITORY / "Final_codes" / "notebook_sources"))

import build

HERE = Path(__file__).resolve().parent
VENV = Path(sys.prefix)
AUTOENCODERS = ("stae", "roadmap", "unet", "joint")
SHORT = " --force --set local_memory.stride=8" + "".join(
    f" {name}.{cut}" for name in AUTOENCODERS for cut in ("steps=1", "batch=2", "height=64"))
"""Added to the cell that runs everything: there is no GPU here, and little time."""


@dataclasses.dataclass
class Session:
    """One session on Kaggle: what is attached where, the cells, and what they showed.

    Attributes:
        name: of its folder.
        internet: whether it has any.
        attached: folder here -> where Kaggle mounts it.
    """

    name: str
    internet: bool
    attached: dict[Path, str]

    @property
    def folder(self) -> Path:
        """Everything of this session."""
        return SCRATCH / self.name

    @property
    def working(self) -> Path:
        """What is /kaggle/working there."""
        return self.folder / "working"

    def run(self, cells: Sequence[str], base: Path) -> list[tuple[str, bool]]:
        """Run cells in a kernel of a fresh copy of the image -> for each (text shown, ended in an error)."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.working.mkdir(parents=True)
        shutil.copytree(base, self.folder / "image", symlinks=True)
        given, results = self.folder / "cells.json", self.folder / "results.json"
        given.write_text(json.dumps(list(cells)))
        print(f"==== {self.name} ====", flush=True)
        subprocess.run(["unshare", "--mount", *([] if self.internet else ["--net"]), HERE / "mounts.sh", VENV,
                        self.working, *(f"{source}={target}" for source, target in self.attached.items()), "--",
                        sys.executable, HERE / "cells.py", self.python, given, results],
                       check=True, env=self.environment())
        return [(re.sub(r"\x1b\[[\d;]*m", "", text), bool(failed)) for text, failed in json.loads(results.read_text())]

    @property
    def python(self) -> Path:
        """The session's Python."""
        return self.folder / "image" / "bin" / "python"

    def environment(self) -> dict[str, str]:
        """Without anything that belongs to this machine's user: caches, settings, and variables of this project."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIXELPLAY_", "PYTHON", "VIRTUAL_ENV"))}
        pip = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
        home = str(self.folder / "home")
        return kept | {"PIP_CACHE_DIR": pip.stdout.strip(), "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home,
                       "IPYTHONDIR": home, "YOLO_CONFIG_DIR": home, "MPLCONFIGDIR": home, "CUDA_VISIBLE_DEVICES": "",
                       "TQDM_MININTERVAL": "20"}


def readme_cells() -> list[str]:
    """The python blocks of README's section about Kaggle, then those of the guide to Kaggle."""
    section, = re.findall(r"^## Kaggle.*?(?=^## )", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    guide = (REPOSITORY / "Final_codes" / "guides" / "kaggle.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", section + guide, re.MULTILINE | re.DOTALL)


def the_cell(cells: Sequence[str], word: str) -> str:
    """The one cell that holds a word."""
    found, = [cell for cell in cells if word in cell]
    return found


def snapshot(target: Path) -> Path:
    """A repository with this working tree as its one commit, to clone from."""
    shutil.rmtree(target, ignore_errors=True)
    names = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others",
                            "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    for command in (["init", "--quiet"], ["add", "--all"],
                    ["-c", "user.name=x", "-c", "user.email=x", "commit", "--quiet", "--message", "snapshot"]):
        subprocess.run(["git", *command], cwd=target, check=True)
    return target


def impossible() -> str:
    """Why this machine cannot do it; '' where it can."""
    if sys.version_info[:2] > image.NEWEST_PYTHON:
        return f"Kaggle's versions have no wheels for Python {sys.version_info[0]}.{sys.version_info[1]}"
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "mounts and networks of its own take Linux and root"
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode:
        return "this machine does not permit namespaces (unshare)"
    return ""


# ---- what must be true afterwards -----------------------------------------------------------------------------------

def check_stopped(shown: str, failed: bool) -> None:
    """`full` without a GPU stops at once, says why, and names both ways on."""
    assert failed and "GPU" in shown and "--profile lite" in shown and "--force" in shown, shown[-3000:]
    assert "Traceback" not in shown and "not installed" not in shown, shown[-3000:]


def check_installed(session: Session, base: Path) -> None:
    """Everything the image lacks of the requirements is there now, and nothing that was there was touched."""
    before, after = image.packages(base / "bin" / "python"), image.packages(session.python)
    changed = {name: (version, after.get(name)) for name, version in before.items() if after.get(name) != version}
    assert not changed, f"changed by README's install line: {changed}"
    added = set(after) - set(before)
    assert added <= set(image.ABSENT), f"installed though the image has them or needs them not: {sorted(added)}"
    assert "av" in added and "ultralytics" in added, sorted(added)


def check_session(session: Session, shown: Sequence[tuple[str, bool]], base: Path, mount: Path,
                  models: Sequence[str]) -> None:
    """Installed what was missing, stopped without a GPU, made a submission of all models when told to."""
    check_installed(session, base)
    check_stopped(*shown[1])
    check_preflight(shown[2][0])
    check_scores(session.working / "scores", list(models), mount)
    check_submission(session.working / "submission.csv", mount)


def main() -> int:
    """All sessions; raises where one fails."""
    reason = impossible()
    if reason:
        print(f"SKIPPED README's cells on Kaggle's image: {reason}")
        return 0
    start, root = time.perf_counter(), Path("/kaggle")
    made = not root.exists()
    root.mkdir(exist_ok=True)  # where the mounts lie; empty outside the sessions
    try:
        run_sessions()
    finally:
        if made:
            root.rmdir()
    print(f"README's cells on Kaggle's image: submissions right, with internet and without "
          f"({time.perf_counter() - start:.0f} s)")
    return 0


def run_sessions() -> None:
    """Prepare what is attached, run the three sessions, check what each left, clear up."""
    from pixelplay.registry import MODELS

    models = list(MODELS)
    read_only = ["unshare", "--mount", "sh", "-c",
                 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"', str(VENV)]
    base = image.make_image(SCRATCH / "image", read_only).parents[1]
    weights = make_weights(SCRATCH / "weights")
    shutil.rmtree(SCRATCH / "competition", ignore_errors=True)
    mount = make_competition(SCRATCH / "competition")
    before, cells = contents(mount), readme_cells()
    whole = the_cell(cells, "--profile full")
    again = [whole, whole.rstrip() + SHORT, "import pathlib; pathlib.Path('submission.csv').unlink()",
             the_cell(cells, "ensemble.py")]

    online = Session("with_internet", True, {mount: "/kaggle/input/pixel-play-26",
                                             weights: "/kaggle/input/clip-and-yolo"})
    repository = snapshot(SCRATCH / "repository")
    shown = online.run([re.sub("<[^>]+>", repository.as_uri(), the_cell(cells, "git clone"), count=1), *again], base)
    check_session(online, shown, base, mount, models)

    offline = make_offline(weights)
    attached = {mount: "/kaggle/input/competitions/pixel-play-26",
                offline: "/kaggle/input/datasets/somebody/pixel-play-offline"}
    alone = Session("internet_off", False, attached)
    shown = alone.run([the_cell(cells, "pixel-play-offline"), *again], base)
    check_session(alone, shown, base, mount, models)

    notebook = Session("notebook_internet_off", False, attached)
    book = build.make(REPOSITORY / "Final_codes" / "notebook_sources" / "01_frame_extraction.py")
    code = [cell.source + '\nPROFILE = "smoke"' * ("parameters" in cell.metadata.get("tags", []))
            for cell in book.cells if cell.cell_type == "code"]
    shown = notebook.run(code, base)
    assert not any(failed for _, failed in shown)
    assert (notebook.working / "smoke" / "01_frame_extraction" / "manifest.csv").is_file()
    check_installed(notebook, base)

    assert contents(mount) == before, "the competition's data were changed"
    for folder in (online.folder, alone.folder, notebook.folder, repository, offline, mount):
        shutil.rmtree(folder)


def make_offline(weights: Path) -> Path:
    """The dataset that `pixelplay fetch` makes for sessions with internet off, with wheels for this Python."""
    target, python = SCRATCH / "offline", f"{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "pixelplay", "fetch", "--to", target, "--python", python], check=True,
                   env=os.environ | {"PIXELPLAY_WEIGHTS": str(weights)})
    return target


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> (size, modification time) of every file."""
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns)
            for p in folder.rglob("*") if p.is_file()}


if __name__ == "__main__":
    sys.exit(main())
