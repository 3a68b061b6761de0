"""The ensemble: recipes, golden files, independence of videos, and the script people run."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pixelplay.data.manifest import Manifest, make_table
from pixelplay.errors import PixelPlayError
from pixelplay.fusion.ensemble import find_files, keep_models, merge_all, read_members
from pixelplay.fusion.prior import FAMILY, equal_weights, prior_weights
from pixelplay.fusion.recipe import RECIPES, Frames, load_recipe
from pixelplay.fusion.recipes.reference_quad import CHAINS
from pixelplay.fusion.scores import ScoreFile, read_table, write_scores
from pixelplay.fusion.stage import merge, merge_files
from pixelplay.registry import model_class

SCRIPT = Path(__file__).parents[1] / "ensemble.py"
main = runpy.run_path(str(SCRIPT))["main"]
MODELS = {"global_memory": ("two_stream", "distance", 10.0), "local_memory": ("two_stream", "zscore", 4.0),
          "stae": ("quad", "error", 8.0), "joint": ("quad", "error", 8.0)}
LENGTHS = {"1": 60, "2": 35, "10": 1}


def test_ids(lengths=LENGTHS):
    return [f"{v}_{f + 3 * (f > 20)}" for v, n in lengths.items() for f in range(n)]


test_ids.__test__ = False
IDS = test_ids()


def train_ids(count):
    return np.array([f"5_{i}" for i in range(count)], dtype=object)


def fill(folder, ids=None, seed=0, **about):
    """A scores folder with four models whose score of a frame depends on its Id alone."""
    ids = ids or IDS
    for k, (name, (family, kind, sigma)) in enumerate(MODELS.items()):
        values = [np.random.default_rng([seed, k, *i.encode()]).lognormal() for i in ids]
        train = np.random.default_rng([seed, k]).lognormal(size=50)
        write_scores(folder, name, ids, np.array(values), train=([f"5_{i}" for i in range(50)], train),
                     about={"model": name, "family": family, "kind": kind, "sigma": sigma,
                            "weight": model_class(name).weight, **about})
    return folder


def sample(path, ids=IDS, columns=("Id", "Predicted")):
    pd.DataFrame({columns[0]: ids, columns[1]: [0.0] * len(ids)}).to_csv(path, index=False)
    return path


def script(*args):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, args)], capture_output=True, text=True, check=False)


def test_three_submissions_with_the_samples_columns_ids_and_order(tmp_path):
    ids = [i.replace("1_", "01_000") if i.startswith("1_") else i for i in IDS][::-1]
    done = script("--scores", fill(tmp_path / "scores"), "--sample", sample(tmp_path / "s.csv", ids, ("ID", "Score")),
                  "--output", tmp_path / "out" / "submission.csv")
    assert done.returncode == 0, done.stderr
    names = {"submission_two_stream.csv", "submission_quad_ensemble.csv", "submission.csv"}
    assert {p.name for p in (tmp_path / "out").glob("*.csv")} == names
    for name in names:
        table = pd.read_csv(tmp_path / "out" / name, dtype={"ID": str})
        assert list(table.columns) == ["ID", "Score"] and table["ID"].tolist() == ids
        assert table["Score"].between(0, 1).all() and table["Score"].nunique() > 10
    for words in ("weight", "corr.", "without it", "global_memory", "rarity among 50 training frames"):
        assert words in done.stdout
    about = json.loads((tmp_path / "out" / "ensemble.json").read_text())
    assert {r["model"] for r in about["submissions"]["submission"]} == set(MODELS)


def test_the_families_are_the_models_of_the_families(tmp_path):
    fill(tmp_path / "scores")
    made, merged = merge_files([tmp_path / "scores"], tmp_path / "submission.csv", sample=sample(tmp_path / "s.csv"))
    assert [sorted(r.model for r in m.rows) for m in merged] == [
        ["global_memory", "local_memory"], ["joint", "stae"], sorted(MODELS)]
    assert all(sum(r.weight for r in m.rows) == pytest.approx(1) for m in merged)
    (tmp_path / "scores" / "joint.csv").unlink()
    (tmp_path / "scores" / "stae.csv").unlink()
    made, _ = merge_files([tmp_path / "scores"], tmp_path / "submission.csv", sample=tmp_path / "s.csv")
    assert set(made) == {"submission_two_stream", "submission"}
    assert not (tmp_path / "submission_quad_ensemble.csv").exists()
    (tmp_path / "submission_quad_ensemble.csv").write_text("somebody else's")
    merge_files([tmp_path / "scores"], tmp_path / "submission.csv", sample=tmp_path / "s.csv")
    assert (tmp_path / "submission_quad_ensemble.csv").exists()


@pytest.mark.parametrize("recipe", ["default", "causal"])
def test_removing_a_video_changes_no_bit_of_the_others(tmp_path, recipe):
    """With training scores no statistic of the test set enters; foreign files (ranks) are the documented exception."""
    whole = fill(tmp_path / "a")
    rest = [i for i in IDS if not i.startswith("2_")]
    part = fill(tmp_path / "b", rest)
    for folder, ids, name in ((whole, IDS, "x"), (part, rest, "y")):
        merge_files([folder], tmp_path / name / "submission.csv", sample=sample(tmp_path / f"{name}.csv", ids),
                    recipe=recipe)
    for name in ("submission_two_stream.csv", "submission_quad_ensemble.csv", "submission.csv"):
        full = dict(zip(*read_table(tmp_path / "x" / name)))
        fewer = dict(zip(*read_table(tmp_path / "y" / name)))
        assert set(fewer) == set(rest) and all(full[i] == s for i, s in fewer.items())


def test_a_foreign_csv_joins_by_rank_and_the_table_says_so(tmp_path, capsys):
    folder = fill(tmp_path / "scores")
    rng = np.random.default_rng(5)
    pd.DataFrame({"ID": IDS, "Predicted": 1e9 * rng.random(len(IDS))}).to_csv(folder / "friend.csv", index=False)
    paths = ("--scores", folder, "--sample", sample(tmp_path / "s.csv"), "--output", tmp_path / "o.csv")
    assert main(list(map(str, paths))) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("friend"))
    assert "ranks of the test frames" in line
    assert {p.name for p in tmp_path.glob("o*.csv")} == {"o.csv", "o_two_stream.csv", "o_quad_ensemble.csv"}
    tables = json.loads((tmp_path / "o.ensemble.json").read_text())["submissions"]
    assert "friend" in json.dumps(tables["o"]) and "friend" not in json.dumps(tables["o_two_stream"])


def test_parts_and_training_scores_are_no_members(tmp_path):
    folder = fill(tmp_path / "scores")
    write_scores(folder / "parts", "stae.extra", IDS, np.arange(len(IDS)), about={})
    assert {p.stem for p in find_files([folder])} == set(MODELS)


def test_every_refusal_leaves_nothing_and_shows_no_traceback(tmp_path, capsys):
    def refuse(*args):
        assert main(list(map(str, args))) == 2 and not (tmp_path / "out").exists()
        return capsys.readouterr().err

    folder, s = fill(tmp_path / "scores"), sample(tmp_path / "s.csv")
    good = (folder / "stae.csv").read_text()
    rows = good.splitlines()
    bad = {"missing": "\n".join(rows[:-1]), "extra": good + "77_1,2.0\n", "duplicate": good + rows[-1] + "\n",
           "nan": good.replace(rows[3], rows[3].split(",")[0] + ",nan"),
           "constant": "\n".join([rows[0], *(r.split(",")[0] + ",1" for r in rows[1:])]), "empty": "",
           "header": good.replace("Predicted", "Score")}
    for text in bad.values():
        (folder / "stae.csv").write_text(text)
        said = refuse("--scores", folder, "--sample", s, "--output", tmp_path / "out" / "submission.csv")
        assert said.startswith("error: ") and "stae.csv" in said
    (folder / "stae.csv").write_text(good)
    for wrong in (["--scores", tmp_path / "nowhere"], ["--recipe", "best"], ["--recipe", "reference-quad"],
                  ["--models", "stae", "resnet"], ["--weights", "best"],
                  ["--sample", tmp_path / "no.csv"], ["--labels", tmp_path / "no.csv"], ["--manifest", tmp_path]):
        assert "error: " in refuse("--scores", folder, "--sample", s, "--output", tmp_path / "out" / "o.csv", *wrong)
    done = script("--scores", folder, "--sample", tmp_path / "no.csv", "--output", tmp_path / "out" / "o.csv")
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("error: ")


def test_smoke_runs_are_refused_unless_allowed(tmp_path):
    folder, s = fill(tmp_path / "scores", smoke=True), sample(tmp_path / "s.csv")
    with pytest.raises(PixelPlayError, match="smoke run"):
        merge_files([folder], tmp_path / "submission.csv", sample=s)
    _, merged = merge_files([folder], tmp_path / "submission.csv", sample=s, allow_smoke=True)
    assert all(r.smoke for r in merged[-1].rows)


def test_without_a_sample_the_manifest_says_which_ids_and_how_reliable(tmp_path):
    table = make_table([("test", i.split("_")[0], int(i.split("_")[1]), "x") for i in IDS])
    table.loc[table["video"] == "2", "reliability"] = 0.0
    (tmp_path / "data").mkdir()
    Manifest(table, {"train": tmp_path, "test": tmp_path / "data"}, "folders").save(tmp_path / "01_frame_extraction")
    fill(tmp_path / "scores")
    made = merge(tmp_path)
    ids, values = read_table(made["submission"])
    assert ids.tolist() == IDS
    unreliable = values[[i.startswith("2_") for i in IDS]]
    assert np.ptp(unreliable) < 1e-12 and np.ptp(values) > 0.01

    sample(tmp_path / "sample_submission.csv", IDS[::-1])
    assert read_table(merge(tmp_path)["submission"])[0].tolist() == IDS[::-1]
    with pytest.raises(PixelPlayError, match="disagree"):
        merge_files([tmp_path / "scores"], tmp_path / "submission.csv", sample=sample(tmp_path / "o.csv", IDS[1:]),
                    manifest=tmp_path / "01_frame_extraction")


def test_weights_prior_and_equal(tmp_path):
    folder, s = fill(tmp_path / "scores"), sample(tmp_path / "s.csv")
    weights = {}
    for rule in ("prior", "equal"):
        _, merged = merge_files([folder], tmp_path / "submission.csv", sample=s, weights=rule)
        weights[rule] = {r.model: r.weight for r in merged[-1].rows}
    assert weights["equal"] == dict.fromkeys(sorted(MODELS), 0.25)
    assert weights["prior"]["local_memory"] == pytest.approx(FAMILY["two_stream"] * 0.95)
    assert weights["prior"]["joint"] == pytest.approx(FAMILY["quad"] * 0.3 / 0.8)
    with pytest.raises(PixelPlayError, match="no weights called 'best'"):
        merge_files([folder], tmp_path / "submission.csv", sample=s, weights="best")


def test_leaving_out_a_copy_changes_nothing_and_a_stranger_much():
    frames = Frames.of_ids(IDS)
    rng = np.random.default_rng(3)
    signal, noise = rng.lognormal(size=len(IDS)), rng.lognormal(size=len(IDS))
    members = {n: ScoreFile(n, frames.ids, v, train_ids(40), rng.lognormal(size=40), {"kind": "error", "sigma": 0})
               for n, v in {"a": signal, "b": signal * 2, "c": noise}.items()}
    rows = {r.model: r for r in merge_all(members, frames, load_recipe("default"), weights=equal_weights)[-1].rows}
    assert rows["a"].correlation > rows["c"].correlation
    assert rows["c"].without_shift > rows["a"].without_shift
    assert rows["c"].without_correlation < rows["a"].without_correlation


def test_a_single_member_and_a_single_frame(tmp_path):
    frames = Frames.of_ids(["7_3"])
    file = ScoreFile("m", frames.ids, np.array([2.0]), frames.ids, np.array([1.0]), {"kind": "error"})
    merged = merge_all({"m": file}, frames, load_recipe("default"))[-1]
    assert merged.rows[0].correlation is None and merged.rows[0].weight == 1 and np.isfinite(merged.values).all()


def test_an_exploding_model_keeps_its_order_but_not_its_pull():
    frames = Frames.of_ids([f"1_{k}" for k in range(100)])
    train = np.random.default_rng(0).normal(size=200)
    calm = ScoreFile("calm", frames.ids, np.linspace(0, 8, 100), train_ids(200), train, {"sigma": 0})
    wild = ScoreFile("wild", frames.ids, np.append(np.zeros(98), [1e12, 1e13]), train_ids(200), train,
                     {"sigma": 0})
    values = merge_all({"calm": calm, "wild": wild}, frames, load_recipe("default"), weights=equal_weights)[-1].values
    assert values[99] > values[98] > values[97] > values[50]


def test_mending_a_file_lets_it_join(tmp_path, capsys):
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(IDS)
    odd = pd.DataFrame({"id": [f"{int(i.split('_')[0]):02d}_frame_{int(i.split('_')[1]):04d}" for i in shuffled],
                        "note": "x", "Score": rng.random(len(IDS))})
    odd.to_csv(tmp_path / "odd.csv", index=False)
    s, mended = sample(tmp_path / "s.csv"), tmp_path / "scores" / "odd.csv"
    assert main(["--scores", str(tmp_path / "odd.csv"), "--sample", str(s), "--output", str(tmp_path / "o.csv")]) == 2
    assert f"--mend {tmp_path / 'odd.csv'}" in capsys.readouterr().err and not (tmp_path / "o.csv").exists()
    assert main(["--mend", str(tmp_path / "odd.csv"), "--sample", str(s), "--output", str(mended)]) == 0
    ids, values = read_table(mended)
    assert dict(zip(ids, values)) == dict(zip(shuffled, odd["Score"])) and ids.tolist() == IDS
    assert main(["--scores", str(mended.parent), "--sample", str(s), "--output", str(tmp_path / "o.csv")]) == 0
    for wrong in (["--mend", str(mended)], ["--mend", str(mended), "--output", str(tmp_path / "x.csv")]):
        assert main([*wrong, "--scores", str(tmp_path)]) == 2


def test_names_paths_and_frames_that_cannot_be(tmp_path):
    folder = fill(tmp_path / "scores")
    with pytest.raises(PixelPlayError, match="two score files are called global_memory"):
        find_files([folder, fill(tmp_path / "again")])
    with pytest.raises(PixelPlayError, match="no score file for"):
        keep_models(find_files([folder]), ["nobody"])
    with pytest.raises(PixelPlayError, match="no score files in"):
        find_files([tmp_path / "scores" / "parts"] if (tmp_path / "scores" / "parts").mkdir() is None else [])
    with pytest.raises(PixelPlayError, match="appears more than once"):
        Frames.of_ids(["1_1", "1_2", "1_1"])
    with pytest.raises(PixelPlayError, match="not an Id"):
        Frames.of_ids(["video1"])
    assert Frames.of_ids(["10_0", "2_5", "2_1"]).ids.tolist() == ["2_1", "2_5", "10_0"]


def test_families_weigh_their_share_however_many_models_they_have():
    def file(name, family, weight):
        return ScoreFile(name, np.array([]), np.array([]), about={"family": family, "weight": weight})

    members = {"local_memory": file("local_memory", "two_stream", 0.95), "stae": file("stae", "quad", 0.5),
               "unet": file("unet", "quad", 0.1), "x": file("x", "other", 1.0)}
    weights = prior_weights(members)
    quad = weights["stae"] + weights["unet"]
    assert weights["local_memory"] / quad == pytest.approx(FAMILY["two_stream"] / FAMILY["quad"])
    assert 0 < weights["x"] < 0.2
    assert weights["stae"] / weights["unet"] == pytest.approx(5)
    unstated = prior_weights(members | {"unet": file("unet", "quad", 0.0)})
    assert unstated["unet"] == unstated["x"], "a file that states no weight counts as one of another maker's"
    assert sum(weights.values()) == pytest.approx(1)


def test_the_causal_recipe_needs_no_later_frame(tmp_path):
    whole, early = fill(tmp_path / "a"), [i for i in IDS if not i.startswith("1_") or int(i[2:]) < 30]
    part = fill(tmp_path / "b", early)
    scores = [dict(zip(*read_table(merge_files([folder], tmp_path / name / "submission.csv", recipe="causal",
                                               sample=sample(tmp_path / f"{name}.csv", ids))[0]["submission"])))
              for folder, ids, name in ((whole, IDS, "x"), (part, early, "y"))]
    assert all(scores[0][i] == pytest.approx(scores[1][i], abs=1e-12) for i in early)


def test_every_recipe_loads_under_its_name():
    assert [load_recipe(n).name for n in RECIPES] == list(RECIPES)


def test_the_reference_two_stream_rule_by_hand(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"1_{k}" for k in range(80)] + [f"2_{k}" for k in range(80)]
    g, loc = rng.random((3, 160)), rng.random((3, 160))
    for k in range(3):
        write_scores(tmp_path / "scores" / "parts", f"global_memory.seed{k}", ids, g[k], about={})
        write_scores(tmp_path / "scores" / "parts", f"local_memory.appearance.seed{k}", ids, loc[k], about={})
    made, _ = merge_files([tmp_path / "scores"], tmp_path / "submission.csv", recipe="reference-two-stream",
                          sample=sample(tmp_path / "s.csv", ids))
    from scipy.ndimage import gaussian_filter1d
    column = gaussian_filter1d((0.7 * loc + 0.3 * g).mean(axis=0), 17)
    expected = (column - column.min()) / (column.max() - column.min())
    np.testing.assert_allclose(read_table(made["submission"])[1], expected, atol=1e-12)
    assert list(made) == ["submission"]


def test_scores_that_are_not_there_are_named_first(tmp_path):
    with pytest.raises(PixelPlayError, match="nowhere does not exist"):
        merge_files([tmp_path / "nowhere"], tmp_path / "submission.csv")


@pytest.mark.real_data
def test_the_reference_quad_reproduces_its_submission(real_data, tmp_path):
    folder = real_data / "pixel_play"
    assert main(["--scores", str(folder / "quad"), "--sample", str(folder / "sample_submission.csv"),
                 "--recipe", "reference-quad", "--output", str(tmp_path / "submission.csv")]) == 0
    ids, values = read_table(tmp_path / "submission.csv")
    golden_ids, golden = read_table(folder / "quad" / "submission_quad_ensemble.csv")
    assert (ids == golden_ids).all() and np.abs(values - golden).max() <= 1e-12
    assert values[0] == pytest.approx(0.9050863723716323, abs=1e-12)
    assert (values.min(), values.max()) == pytest.approx((0.12385026, 0.97181559), abs=1e-8)


@pytest.mark.real_data
@pytest.mark.parametrize(("model", "raw", "ready"), [
    ("unet", "unet_raw", "submission_unet"), ("roadmap", "roadmap_raw", "submission_roadmap"),
    ("joint", "jr_raw", "submission_JR")])
def test_the_reference_chains_from_raw_to_processed(real_data, model, raw, ready):
    folder = real_data / "pixel_play"
    ids, values = read_table(folder / "raw" / f"{raw}.csv")
    golden_ids, golden = read_table(folder / "quad" / f"{ready}.csv")
    frames = Frames.of_ids(ids)
    assert (frames.ids == ids).all() and (ids == golden_ids).all()
    assert np.abs(CHAINS[model](values, frames.videos) - golden).max() <= 1e-12


@pytest.mark.real_data
def test_the_reference_quad_takes_raw_scores_of_ours(real_data, tmp_path):
    folder = real_data / "pixel_play"
    frames = Frames.of_ids(read_table(folder / "sample_submission.csv")[0])
    for ours, theirs in (("roadmap", "roadmap_raw"), ("unet", "unet_raw"), ("joint", "jr_raw")):
        write_scores(tmp_path, ours, frames.ids, read_table(folder / "raw" / f"{theirs}.csv")[1], about={})
    recipe = load_recipe("reference-quad")
    with pytest.raises(PixelPlayError, match=r"stae \(submission_STAE.csv or stae.csv\)"):
        recipe.choose(find_files([tmp_path]))
    chosen = recipe.choose([*find_files([tmp_path]), folder / "quad" / "submission_STAE.csv"])
    values = recipe.fuse(read_members(chosen, frames), frames, None).values
    golden = read_table(folder / "quad" / "submission_quad_ensemble.csv")[1]
    assert np.abs(values - golden).max() <= 1e-12
