"""Seals, durable writing, full and read-only disks, orphans, and the lock of an output folder."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from pixelplay import files, run_command
from pixelplay.arrays import new_array, read_array, read_arrays, scratch_array, write_array, write_arrays
from pixelplay.cards import write_weights_and_card
from pixelplay.cli import main
from pixelplay.data.clips import Clip, make_clip
from pixelplay.errors import PixelPlayError
from pixelplay.files import (
    atomic_path,
    check,
    clear_orphans,
    damaged,
    read_json,
    seal_path,
    sealed,
    unseal,
    verify,
    write_json,
    write_text,
)
from pixelplay.fusion.scores import write_table
from pixelplay.lock import NAME, OWNER, locked


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def lose_last_line(path):
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


DAMAGES = (flip, truncate, lose_last_line, lambda p: p.write_bytes(b""),
           lambda p: p.write_bytes(p.read_bytes() + b"\n"))


def artefacts(folder):
    """One of each kind of file; name -> how it is read."""
    write_json(folder / "a.json", {"b": list(range(20))}, seal=True)
    write_array(folder / "a.npy", np.arange(100.0))
    write_arrays(folder / "a.npz", x=np.arange(100.0), y=np.arange(3))
    with new_array(folder / "mapped.npy", (40, 5), np.float32) as rows:
        rows[:] = 1.5
    return {"a.json": read_json, "a.npy": read_array, "a.npz": read_arrays,
            "mapped.npy": lambda p: read_array(p, mapped=True)}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["a.json", "a.npy", "a.npz", "mapped.npy"])
@pytest.mark.parametrize("with_seal", [True, False])
def test_no_damaged_file_is_read(tmp_path, name, damage, with_seal):
    path, read = tmp_path / name, artefacts(tmp_path)[name]
    read(path)
    if not with_seal:
        unseal(path)
        if damage not in (truncate, DAMAGES[3]):
            return  # a flipped bit does not show without a seal
    damage(path)
    with pytest.raises(PixelPlayError, match=name):
        read(path)
    assert damaged([path]) == ([path] if with_seal else [])


def test_a_seal_is_what_b2sum_writes(tmp_path):
    write_array(tmp_path / "a.npy", np.arange(9))
    line = seal_path(tmp_path / "a.npy").read_text()
    assert line == f"{files.digest_of(tmp_path / 'a.npy')}  a.npy\n" and len(line.split()[0]) == 32


def test_a_file_without_a_seal_is_taken_as_it_is_and_a_lost_one_is_missed(tmp_path):
    artefacts(tmp_path)
    unseal(tmp_path / "a.npy")
    flip(tmp_path / "a.npy")
    check(tmp_path / "a.npy")
    (tmp_path / "a.json").unlink()
    assert damaged([tmp_path / "a.npy", tmp_path / "a.json"]) == [tmp_path / "a.json"]
    with pytest.raises(PixelPlayError, match=r"a\.json is missing"):
        read_json(tmp_path / "a.json")


def test_writing_without_a_seal_forgets_the_old_one(tmp_path):
    write_json(tmp_path / "a.json", 1, seal=True)
    write_json(tmp_path / "a.json", 2)
    assert read_json(tmp_path / "a.json") == 2 and not seal_path(tmp_path / "a.json").exists()


def test_large_files_are_checked_once_until_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "REMEMBERED", 10)
    write_array(tmp_path / "a.npy", np.zeros(100))
    asked, real = [], files.digest_of
    monkeypatch.setattr(files, "digest_of", lambda p: asked.append(p) or real(p))
    check(tmp_path / "a.npy")
    assert not asked  # written by this very process
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    check(tmp_path / "a.npy")
    check(tmp_path / "a.npy")
    assert len(asked) == 1
    flip(tmp_path / "a.npy")
    with pytest.raises(PixelPlayError):
        check(tmp_path / "a.npy")


def test_a_kill_at_any_step_of_sealed_leaves_no_wrong_seal(tmp_path, monkeypatch):
    """Old content, new content or none; the seal fits or is absent."""
    path = tmp_path / "a.txt"
    steps = 0
    for stop in range(40):
        for old in tmp_path.iterdir():
            old.unlink()
        with sealed(path) as part:
            part.write_text("old")
        left = [stop]

        def step(real, left=left):
            def wrapped(*args, **settings):
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return real(*args, **settings)
            return wrapped

        with monkeypatch.context() as m:
            for name in ("replace", "unlink"):
                m.setattr(Path, name, step(getattr(Path, name)))
            m.setattr(files, "flush", step(files.flush))
            with contextlib.suppress(KeyboardInterrupt), sealed(path) as part:
                part.write_text("new")
        assert path.read_text() in ("old", "new")
        assert damaged([path]) == []
        steps += left[0] == 0
    assert 5 <= steps < 40


def test_verify_names_what_does_not_fit(tmp_path, capsys):
    artefacts(tmp_path / "run" / "deep")
    assert main(["verify", str(tmp_path / "run")]) == 0
    assert "4 of 4" in capsys.readouterr().out
    flip(tmp_path / "run/deep/a.npy")
    (tmp_path / "run/deep/a.npz").unlink()
    assert verify(tmp_path)[0] == [tmp_path / "run/deep/a.npy", tmp_path / "run/deep/a.npz"]
    assert main(["verify", str(tmp_path / "run")]) == 1
    out = capsys.readouterr().out
    assert "a.npy: does not match" in out and "a.npz: missing" in out and "2 of 4" in out
    assert main(["verify", str(tmp_path / "nowhere")]) == 2
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / "empty")]) == 2


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    order, replace, fsync = [], Path.replace, os.fsync
    names = Path("/proc/self/fd")
    monkeypatch.setattr(os, "fsync", lambda handle: order.append(
        str((names / str(handle)).readlink()) if names.exists() else "") or fsync(handle))
    monkeypatch.setattr(Path, "replace", lambda self, to: order.append(f"-> {Path(to).name}") or replace(self, to))
    write_text(tmp_path / "a.txt", "x")
    assert len(order) == 3 and order[1] == "-> a.txt"
    if order[0]:
        assert ".part" in order[0] and order[2] == str(tmp_path)


# ---- disks ------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["full", "read-only"])
def bad_disk(request, tmp_path):
    """A file system of one megabyte with 40 kB left, or one that is read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True,
                          check=False) if hasattr(os, "geteuid") and os.geteuid() == 0 else None
    if made is None or made.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        if request.param == "full":
            (place / "ballast").write_bytes(bytes((1 << 20) - 40_000))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield request.param, place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _mapped(path):
    with new_array(path, (1000, 1000), np.float32) as rows:
        rows[:] = 1


def _rows(path):
    def write(file):
        for row in range(100):
            file.write(row, np.ones(10_000, np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXELPLAY_SCRATCH", str(path.parent))
        make_clip(Clip(path.stem, 100, write), (10_000,), np.uint8)


def _torch(path):
    with sealed(path) as part, part.open("wb") as stream:
        torch.save({"a": torch.zeros(100_000)}, stream)


WRITERS = {
    "text": lambda p: write_text(p, "x" * 200_000), "json": lambda p: write_json(p, ["x"] * 50_000),
    "npy": lambda p: write_array(p, np.zeros(100_000)),
    "npz": lambda p: write_arrays(p, a=np.random.default_rng(0).random(30_000)),
    "mapped": _mapped, "rows": _rows, "torch": _torch,
    "scratch": lambda p: scratch_array((1000, 1000), np.float32, p.parent)[:].sum(),
    "table": lambda p: write_table(p, [f"1_{i}" for i in range(20_000)], np.random.default_rng(0).random(20_000)),
    "weights": lambda p: write_weights_and_card(p.parent, save({"a": torch.randn(100_000)}), {}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_says_so_and_leaves_nothing(bad_disk, writer):
    kind, place = bad_disk
    before = sorted(place.rglob("*"))
    with pytest.raises(PixelPlayError, match="no space left" if kind == "full" else "cannot be written: Read-only"):
        WRITERS[writer](place / "file.npy")
    left = [p for p in sorted(place.rglob("*")) if p not in before]
    assert left in ([], [place / "file.npy"])  # rows are written in place, under a name that is not final
    assert not left or writer == "rows"


def test_a_lock_on_a_bad_disk(bad_disk):
    kind, place = bad_disk
    if kind == "read-only":
        with pytest.raises(PixelPlayError, match="cannot be written"), locked(place / "out"):
            pass


@pytest.mark.parametrize("cause", [
    OSError("200000 requested and 4096 written"), RuntimeError("[enforce fail at inline_container.cc] . "
                                                               "PytorchStreamWriter failed writing file data/0"),
    OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Disk quota exceeded")])
def test_a_full_disk_is_known_by_each_library_s_words(tmp_path, cause):
    with pytest.raises(PixelPlayError, match=r"no space left while writing .*x\.npy"), atomic_path(tmp_path / "x.npy"):
        raise cause
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_as_they_are(tmp_path):
    for cause in (RuntimeError("a defect"), FileNotFoundError(errno.ENOENT, "no", "other"), ValueError("v")):
        with pytest.raises(type(cause)), atomic_path(tmp_path / "x"):
            raise cause


# ---- orphans and the lock ---------------------------------------------------------------------------------------

def dead_process():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_only_parts_of_dead_processes_are_removed(tmp_path):
    dead, deep = dead_process(), tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    gone = [deep / f".x.{dead}.part.npy", tmp_path / f".x.csv.{dead}.part.digest", tmp_path / f".x.{dead}.part"]
    kept = [deep / f".x.{os.getpid()}.part.npy", tmp_path / ".test.npy.0123456789abcdef.part",
            tmp_path / ".test.npy.1234567890123456.part", tmp_path / f"x.{dead}.part", tmp_path / "notes.txt"]
    for path in (*gone, *kept):
        path.write_text("x")
    assert sorted(clear_orphans(tmp_path)) == sorted(gone)
    assert all(p.exists() for p in kept) and not any(p.exists() for p in gone)


HOLD = """
import sys, time
from pathlib import Path
from pixelplay.lock import locked
try:
    with locked(Path(sys.argv[1])):
        print("in", flush=True)
        sys.stdin.readline()
except Exception as mistake:
    print(mistake)
    sys.exit(7)
"""


@pytest.fixture
def hold():
    """Starts a process that locks a folder until it is spoken to."""
    started, root = [], str(Path(files.__file__).parents[1])

    def start(folder, **variables):
        environ = {k: v for k, v in os.environ.items() if k not in (OWNER, "RANK")} | {"PYTHONPATH": root} | variables
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], env=environ, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_second_run_is_told_who_is_there_and_a_dead_owner_is_no_owner(tmp_path, hold):
    first, said = hold(tmp_path / "out")
    assert said == "in"
    with pytest.raises(PixelPlayError, match=rf"in use by process {first.pid} on "), locked(tmp_path / "out"):
        pass
    second, said = hold(tmp_path / "out")
    assert "is in use by process" in said and second.wait() == 7
    orphan = tmp_path / "out" / f".x.{dead_process()}.part"
    orphan.write_text("x")
    first.kill()
    first.wait()
    with locked(tmp_path / "out"):
        assert f"process {os.getpid()}" in (tmp_path / "out" / NAME).read_text()
        assert not orphan.exists()


def test_ranks_workers_and_nested_verbs_are_let_in(tmp_path, hold):
    with locked(tmp_path), locked(tmp_path):
        assert hold(tmp_path, RANK="1")[1] == "in"
        assert hold(tmp_path, **{OWNER: os.environ[OWNER]})[1] == "in"
        assert "in use" in hold(tmp_path)[1]
        assert "in use" in hold(tmp_path, **{OWNER: str(tmp_path / "other")})[1]
    assert OWNER not in os.environ
    assert hold(tmp_path)[1] == "in"


def test_waiting_for_the_other_run(tmp_path, hold, monkeypatch):
    process, _ = hold(tmp_path)
    paused = []

    def sleep(seconds):
        paused.append(seconds)
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()

    monkeypatch.setattr("pixelplay.lock.time.sleep", sleep)
    with locked(tmp_path, wait=True):
        assert len(paused) == 1


def test_the_command_waits_where_it_is_told_to(tmp_path, hold, monkeypatch, capsys):
    process, _ = hold(tmp_path / "smoke")
    for name, value in (("check", None), ("make_schedule", SimpleNamespace(expected={})), ("tell_plan", None)):
        monkeypatch.setattr(run_command, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr(run_command.Run, "all", lambda *_, **__: {})

    def sleep(seconds):
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait()

    monkeypatch.setattr("pixelplay.lock.time.sleep", sleep)
    line = ["run", "--profile", "smoke", "--output", str(tmp_path)]
    assert main(line) == 2 and f"in use by process {process.pid}" in capsys.readouterr().err
    assert main([*line, "--wait"]) == 0 and process.returncode == 0


def test_an_output_that_is_a_file_is_an_error_at_once(tmp_path):
    (tmp_path / "out").write_text("")
    for place in (tmp_path / "out", tmp_path / "out" / "smoke"):
        with pytest.raises(PixelPlayError, match="cannot be written"), locked(place):
            pass
