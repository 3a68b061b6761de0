"""The experiments' common part: what each needs, rows that stay, intervals as a figure."""

import csv
import importlib.util
import mmap
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from pixelplay.errors import PixelPlayError
from pixelplay.fusion.recipes.reference_two_stream import WEIGHTS

EXPERIMENTS = Path(__file__).parents[2] / "Experiments"
FILES = sorted(EXPERIMENTS.glob("E[0-9][0-9]_*.py"))


def load(name):
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_experiment_says_how_it_is_run_and_what_it_needs(monkeypatch, capsys):
    run = load("run")
    monkeypatch.delenv("PIXELPLAY_DATA", raising=False)
    assert FILES
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert f"python Experiments/{path.name}" in text and text.startswith(f'"""{path.stem[:3]}')
        given, absent = run.needs(path)
        assert ("DATA_FOLDER" in given) <= bool(absent)
    monkeypatch.setenv("PIXELPLAY_DATA", "somewhere")
    given, absent = run.needs(EXPERIMENTS / "E11_autoencoder_speed.py")
    assert given == ["somewhere", str(run.SCRATCH / "E11")] and not absent
    assert run.main([]) == 0 and run.main(["E99"]) == 2
    said = capsys.readouterr().out
    assert all(p.stem in said for p in FILES)


def test_rows_of_other_runs_stay(tmp_path):
    common, target = load("common"), tmp_path / "t.csv"
    common.write_rows(target, [{"data": "a", "value": "1"}, {"data": "b", "value": "2"}], keep="data")
    every = common.write_rows(target, [{"data": "a", "value": "3"}], keep="data")
    with target.open(newline="") as stream:
        assert list(csv.DictReader(stream)) == every
    assert sorted((r["data"], r["value"]) for r in every) == [("a", "3"), ("b", "2")]
    with pytest.raises(PixelPlayError, match="is no finished run"):
        common.named([f"x={tmp_path}"])
    (tmp_path / "run" / common.EXTRACTION).mkdir(parents=True)
    (tmp_path / "run" / common.EXTRACTION / "manifest.csv").touch()
    assert common.named([f"x={tmp_path / 'run'}", str(tmp_path / "run")]) == {k: tmp_path / "run" for k in ("x", "run")}


def test_dots_have_an_interval_each():
    rows = [{"data": d, "what": w, "metric": m, "value": "50", "low": "40", "high": "70"}
            for d in ("a", "b") for w in ("x", "y", "z") for m in ("AP", "micro AUC")]
    figure = load("common").dots(rows)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [t.get_text() for t in axes.get_yticklabels()] == ["x", "y", "z"]
        lines = [line.get_xdata() for line in axes.get_lines()]
        assert sum(list(np.atleast_1d(x)) == [40.0, 70.0] for x in lines) == 6


def test_peak_memory_is_that_of_the_block_alone():
    cost = load("E07_cost_and_size")
    with cost.PeakMemory() as earlier:
        block = fresh_memory(256)
        with cost.PeakMemory() as around:
            block.close()
        with cost.PeakMemory() as after:
            pass
    assert min(earlier.mib, around.mib) >= after.mib + 150


@pytest.mark.skipif(not hasattr(psutil.Process().memory_info(), "shared"),
                    reason="this system does not tell mapped files from a process's own memory")
def test_mapped_files_are_not_a_process_own_memory(tmp_path):
    np.ones(256 * 2**20 // 8).tofile(tmp_path / "mapped")
    peak_memory = load("peak_memory").PeakMemory
    with peak_memory() as before:
        pass
    with peak_memory() as reading:
        mapped, block = np.memmap(tmp_path / "mapped", np.float64, "r"), fresh_memory(64)
        assert mapped.sum() == 256 * 2**20 // 8
    block.close()
    assert reading.mib > before.mib + 200
    assert before.own_mib + 60 < reading.own_mib < before.own_mib + 128


def fresh_memory(mib):
    """Pages straight from the system and back to it: an array may be cut from what earlier tests freed."""
    block = mmap.mmap(-1, mib * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for _ in range(mib):
        block.write(b"\1" * 2**20)
    return block


def test_draws_are_compared_with_all_six_of_the_same_draw():
    draws = load("E15_injected_draws")
    rows = [{"data": "a", "draw": d, "ranking": r, "ap": str(base + more), "micro_auc": "50", "macro_auc": "50"}
            for d, base in (("0-1", 10.0), ("0-2", 60.0)) for r, more in ((draws.ALL, 0.0), ("x", 2.0 + base / 10))]
    found = draws.differences(draws.pd.DataFrame(rows))
    assert found.loc["x", ("ap", "mean")] == pytest.approx(5.5) and found.loc["x", ("ap", "sem")] == pytest.approx(2.5)
    assert found.loc[draws.ALL].eq(0).all() and found.loc["x", ("micro_auc", "mean")] == 0


def test_a_tracks_velocity_stays_in_its_track():
    tracks = load("E17_tracks")
    table = tracks.pd.DataFrame([("v", f, 1, 3.0 * f, 4.0 * f) for f in range(20)] + [("v", 7, 2, 500.0, 0.0)]
                                + [("w", f, 1, 900.0, 0.0) for f in (0, 100)],
                                columns=["video", "frame", "id", "x0", "y0"])
    found = tracks.velocities(table.assign(x1=table["x0"] + 10, y1=table["y0"] + 20))
    assert found[:20] == pytest.approx(np.tile([3.0, 4.0], (20, 1))) and not found[20:].any()


def tracks_of(tracks, camera, speed, videos=3, frames=40):
    rows = [(f"{camera}_{v}", f, i, speed * f + 30 * i, 50.0 + 10 * i, speed * f + 30 * i + 10, 80.0 + 10 * i)
            for v in range(videos) for i in range(3) for f in range(frames)]
    table = tracks.pd.DataFrame(rows, columns=["video", "frame", "id", "x0", "y0", "x1", "y1"])
    velocity = tracks.velocities(table) + 0.01 * (table[["frame"]].to_numpy() % 7)
    return table.assign(camera=camera, vx=velocity[:, 0], vy=velocity[:, 1])


def test_tracks_are_judged_by_their_own_camera_and_an_empty_frame_by_nothing():
    tracks = load("E17_tracks")
    train = tracks.pd.concat([tracks_of(tracks, "a", 1.0), tracks_of(tracks, "b", 9.0)])
    test = tracks.pd.concat([tracks_of(tracks, "a", 9.0, videos=1), tracks_of(tracks, "b", 9.0, videos=1)])
    frames = tracks.pd.DataFrame([(v, f) for v in ("a_0", "b_0") for f in range(41)], columns=["video", "frame"])
    found = tracks.score(train, test, frames)
    assert np.isfinite(found).all() and found[40] == found[81] == 0
    assert found[:40].min() > found[41:81].max(), "as fast in both cameras, and usual in one"
    with pytest.raises(PixelPlayError, match="camera 'b' has test tracks"):
        tracks.score(train[train["camera"] == "a"], test, frames)


def test_recipes_are_ranked_by_set_and_draws_of_one_set_count_once():
    recipes = load("E16_recipes")
    rows = [{"set": s, "protocol": "recorded", "ranking": r, **dict.fromkeys(recipes.METRICS, str(v))}
            for s, x, y in (("ped2", 90, 80), ("injected ped2 0-1", 50, 60), ("injected ped2 0-2", 50, 60))
            for r, v in (("x", x), ("y", y))]
    found = recipes.average_ranks(recipes.pd.DataFrame(rows))
    assert found.loc["recorded: x", "ap"] == found.loc["recorded: y", "ap"] == 70
    assert found["rank"].tolist() == [1.5, 1.5] and found["left_out"].tolist() == [2.0, 2.0]


def test_ped2_c_has_the_reference_recipes_whose_members_were_scored(tmp_path):
    corruption = load("E03_price_of_corruption")
    frames = corruption.Frames.of_ids([f"{v}_{k}" for v in (1, 2) for k in range(40)])
    rng = np.random.default_rng(0)
    for name in ("stae", "roadmap", "unet", "joint"):
        corruption.write_scores(tmp_path, name, frames.ids, rng.lognormal(size=80), about={"family": "quad"})
    found = corruption.references(tmp_path, frames)
    assert list(found) == ["reference-quad"] and np.ptp(found["reference-quad"]) > 0
    for name in WEIGHTS:
        corruption.write_scores(tmp_path / "parts", name, frames.ids, rng.lognormal(size=80), about={})
    assert set(corruption.references(tmp_path, frames)) == {"reference-quad", "reference-two-stream"}
