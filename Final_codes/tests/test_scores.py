"""Score files: what is refused, in which words, and what can be mended."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixelplay.errors import PixelPlayError
from pixelplay.fusion.formats import GOOD_HEADERS, as_numbers, diagnose, mend, read_plain
from pixelplay.fusion.scores import read_scores, read_strings, write_scores

IDS = ["1_5", "1_6", "1_8", "2_0", "2_1"]
VALUES = np.array([0.1, 1 / 3, 2.5e-17, 4.0, -1.0])


def frame(columns):
    return pd.DataFrame(columns, dtype=str)


def put(path, ids, values, header="Id,Predicted"):
    path.write_text(header + "\n" + "".join(f"{i},{v}\n" for i, v in zip(ids, values)))
    return path


def test_round_trip_keeps_every_bit_and_the_sidecars(tmp_path):
    path = write_scores(tmp_path, "m", IDS, VALUES, train=(["9_1", "9_2"], np.array([1.0, 2.0])),
                        about={"kind": "error"})
    back = read_scores(path, IDS)
    assert (back.values == VALUES).all() and back.ids.tolist() == IDS
    assert back.train_values.tolist() == [1.0, 2.0] and back.about == {"kind": "error"}


def test_rows_in_another_order_are_joined_by_id(tmp_path):
    path = put(tmp_path / "m.csv", IDS[::-1], VALUES[::-1].tolist(), "ID,Predicted")
    assert (read_scores(path, IDS, any_order=True).values == VALUES).all()
    with pytest.raises(PixelPlayError, match="row 1 is Id 2_1"):
        read_scores(path, IDS)


@pytest.mark.parametrize(("ids", "values", "words"), [
    (IDS[:-1], VALUES[:-1], "4 Ids known, 1 missing .first: 2_1"),
    ([*IDS, "3_0"], [*VALUES, 1], "1 unknown"),
    ([*IDS, "2_1"], [*VALUES, 1], "1 repeated Ids .first: 2_1"),
    (IDS, [1, 2, "nan", 4, 5], "score of Id 1_8 is nan"),
    (IDS, [1, 2, "inf", 4, 5], "score of Id 1_8 is inf"),
    (IDS, [1, 2, "high", 4, 5], "score of Id 1_8 is 'high'"),
    (IDS, [1, 2, "", 4, 5], "score of Id 1_8 is ''"),
    (IDS, [3, 3, 3, 3, 3], "every score is 3"),
    (["01_00005", "1_6", "1_8", "2_0", "2_1"], VALUES, "zero padding .01_00005 for 1_5"),
])
def test_each_fault_is_named(tmp_path, ids, values, words):
    with pytest.raises(PixelPlayError, match=words) as found:
        read_scores(put(tmp_path / "bad.csv", ids, values), IDS)
    assert "bad.csv" in str(found.value)


def test_faults_of_the_file_itself(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 4)
    for name in ("empty.csv", "binary.csv", "absent.csv", "."):
        with pytest.raises(PixelPlayError):
            read_scores(tmp_path / name, IDS)
    path = put(tmp_path / "m.csv", IDS, VALUES)
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(PixelPlayError, match="not valid JSON"):
        read_scores(path, IDS)
    (tmp_path / "m.json").write_text("[1]")
    with pytest.raises(PixelPlayError, match="holds no object"):
        read_scores(path, IDS)


def test_writing_refuses_before_it_writes(tmp_path):
    for values in ([1.0, np.nan, 2, 3, 4], [1.0] * 5):
        with pytest.raises(PixelPlayError):
            write_scores(tmp_path, "m", IDS, np.array(values), about={})
    assert list(tmp_path.iterdir()) == []


def test_one_frame_is_no_constant(tmp_path):
    path = write_scores(tmp_path, "m", ["1_0"], np.array([2.0]), about={})
    assert read_scores(path, ["1_0"]).values.tolist() == [2.0]


def test_a_video_called_frame_keeps_its_name():
    ids = ["cam_frame_1", "cam_frame_2"]
    assert diagnose(frame({"Id": ids, "Predicted": ["1", "2"]}), ids).conversion == "none"


def test_mending_by_name_and_by_order():
    table = frame({"video_id": ["01", "01", "01", "02", "02"], "frame_id": ["5", "6", "8", "0", "1"],
                   "anomaly_score": list("abcde")})
    table["anomaly_score"] = [str(v) for v in VALUES]
    ids, values, what = mend(table, IDS[::-1], "x.csv")
    assert ids.tolist() == IDS[::-1] and (values == VALUES[::-1]).all() and "long format" in what

    renumbered = frame({"ID": ["1_2", "1_0", "1_1", "2_0", "2_1"], "Predicted": ["3", "1", "2", "4", "5"]})
    with pytest.raises(PixelPlayError, match="WRONG Ids"):
        mend(renumbered, IDS, "x.csv")
    ids, values, _ = mend(renumbered, IDS, "x.csv", by_order=True)
    assert dict(zip(ids, values)) == dict(zip(IDS, [1, 2, 3, 4, 5]))

    with pytest.raises(PixelPlayError, match="4 rows instead of 5"):
        mend(renumbered.iloc[:4], IDS, "x.csv", by_order=True)


REFUSED = {
    "column_named_Prediction.csv": ("the score column is called Prediction", "repairable"),
    "three_columns.csv": ("extra column anomaly_score .equal to Predicted", "repairable"),
    "long_columns_11706rows.csv": ("long format .convertible", "repairable"),
    "long_columns_11622rows.csv": ("11622 rows instead of 11706.*9366 Ids known, 2340 missing", "not repairable"),
    "frame_name_ids_11622rows.csv": ("frame file names.*9366 Ids known, 2340 missing", "not repairable"),
    "wrong_ids_11685rows.csv": ("11685 rows instead of 11706.*9411 Ids known, 2295 missing", "not repairable"),
    "zero_based_ids.csv": ("right count, but WRONG Ids in 13 videos.*9426 Ids known, 2280 missing", "--by-order"),
}


@pytest.mark.real_data
def test_each_odd_format_is_refused_in_its_own_words(real_data):
    folder = real_data / "pixel_play"
    expected = read_strings(folder / "sample_submission.csv")["Id"].tolist()
    for path in sorted((folder / "odd_formats").glob("*.csv")):
        problem, conversion = REFUSED[path.name]
        with pytest.raises(PixelPlayError, match=problem) as found:
            read_scores(path, expected)
        assert conversion in found.value.hint, path.name
    assert {p.name for p in (folder / "odd_formats").glob("*.csv")} == set(REFUSED)


@pytest.mark.real_data
@pytest.mark.parametrize(("odd", "same", "by_order"), [
    ("column_named_Prediction.csv", "raw/roadmap_raw.csv", False),
    ("long_columns_11706rows.csv", "raw/unet_raw.csv", False),
    ("three_columns.csv", None, False), ("zero_based_ids.csv", None, True)])
def test_the_mendable_ones_are_mended(real_data, odd, same, by_order):
    folder = real_data / "pixel_play"
    expected = read_strings(folder / "sample_submission.csv")["Id"].tolist()
    ids, values, _ = mend(read_strings(folder / "odd_formats" / odd), expected, odd, by_order=by_order)
    assert sorted(ids) == sorted(expected) and np.isfinite(values).all()
    if same:
        np.testing.assert_allclose(values, read_scores(folder / same, expected).values, atol=1e-6)


def test_a_json_beside_a_dotted_name_is_its_own(tmp_path):
    write_scores(tmp_path, "m.seed0", IDS, VALUES, about={"part_of": "m"})
    (tmp_path / "m.json").write_text(json.dumps({"model": "m"}))
    assert read_scores(tmp_path / "m.seed0.csv").about == {"part_of": "m"}


@pytest.mark.parametrize("values", [[0.1 + 0.2, 0.3, 0.3], [-100.0, np.nextafter(-100, 0), -100.0], [0.0, 0.0, 0.0],
                                    (1e6 + 1e-7 * np.arange(3)).tolist()])
def test_scores_that_differ_by_rounding_alone_rank_nothing(tmp_path, values):
    with pytest.raises(PixelPlayError, match="every score is"):
        write_scores(tmp_path, "m", ["1_0", "1_1", "1_2"], np.array(values), about={})
    with pytest.raises(PixelPlayError, match="every score is"):
        read_scores(put(tmp_path / "n.csv", ["1_0", "1_1", "1_2"], values), ["1_0", "1_1", "1_2"])


@pytest.mark.parametrize("values", [[1.0, 1.0 + 1e-9, 1.0], [0.0, 1e-30, 0.0], [1e30, 9.99e29, 1e30]])
def test_small_differences_count(tmp_path, values):
    path = write_scores(tmp_path, "m", ["1_0", "1_1", "1_2"], np.array(values), about={})
    assert read_scores(path).values.tolist() == values


CELLS = st.one_of(st.floats().map(repr), st.integers().map(str), st.text(max_size=5),
                  st.sampled_from([" 0.5", "0.5 ", "+.5", "1_000", "1e999", "nan", "\0", "0.5\0", "\"1\"", "1,2", "٣",
                                   ""]))


@settings(max_examples=300, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["Id,Predicted", "ID,Predicted", "Id,score", "Predicted,Id", "Id,Predicted,Predicted", ""]),
       st.lists(st.tuples(st.one_of(st.sampled_from(IDS), st.text(max_size=4)), CELLS), max_size=5))
def test_tables_read_in_chunks_are_those_that_the_strict_reader_takes(tmp_path, header, rows):
    path = tmp_path / "m.csv"
    path.write_bytes("\n".join([header, *map(",".join, rows)]).encode("utf-8", "surrogatepass"))
    plain = read_plain(path)
    if plain is not None:
        table = read_strings(path)
        assert list(table.columns) in GOOD_HEADERS
        assert plain[0].tolist() == table.iloc[:, 0].tolist()
        numbers = as_numbers(table.iloc[:, 1].to_numpy(object), plain[0], "m.csv")
        assert plain[1].tobytes() == numbers.tobytes()
    elif all(i in IDS and "\n" not in c and re.fullmatch(r"-?\d{1,9}(\.\d{1,9})?", c, re.ASCII) for i, c in rows):
        assert not rows or header not in ("Id,Predicted", "ID,Predicted"), "nothing was odd"


def test_a_repeated_id_is_found_where_the_expected_ones_repeat_it_too(tmp_path):
    ids = ["1_0", "1_1", "1_1"]
    with pytest.raises(PixelPlayError, match="repeated"):
        read_scores(put(tmp_path / "m.csv", ids, [1, 2, 3]), ids)
