"""The report: a self-contained page whose timeline moves its video, tested in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from finished_run import ODD, make_run

from pixelplay.errors import PixelPlayError
from pixelplay.files import write_json
from pixelplay.visual.events import Threshold
from pixelplay.visual.report import slug, write_report
from pixelplay.visual.report_page import Card, Page, render
from pixelplay.visual.run_folder import RunFolder

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, footage = make_run(tmp_path_factory.mktemp("run"))
    return folder, footage, write_report(folder, footage=footage)


def test_the_planted_anomaly_is_the_event(finished):
    folder, footage, _ = finished
    run = RunFolder(folder, footage=footage)
    assert {e.video for e in run.events} == {"2"}
    loud = run.events[0]
    first = int(run.test["frame"].iloc[100 + ODD[0]])
    assert abs(loud.first_frame - first) < 10
    assert run.threshold.high == pytest.approx(np.quantile(run.final_train, 0.995))


def test_final_is_the_submission_on_another_scale(finished):
    folder, footage, _ = finished
    run = RunFolder(folder, footage=footage)
    submitted = pd.read_csv(folder / "submission.csv", dtype={"Id": str})
    assert submitted["Id"].tolist() == run.test["Id"].tolist()
    np.testing.assert_array_equal(np.argsort(run.final), np.argsort(submitted["Predicted"]))


def test_page_is_whole_and_alone(finished):
    _, _, index = finished
    page = index.read_text()
    assert not re.search(r"(src|href)=\"(https?:)?//", page) and "{{" not in page
    for link in re.findall(r"(?:src|poster)=\"([^\"]+)\"", page):
        assert (index.parent / link).is_file(), link
    for image in re.findall(r"<img[^>]*>", page):
        assert re.search(r'alt="[^"]+"', image), image
    data = json.loads(re.search(r'id="run-data">(.*?)</script>', page, re.S).group(1))
    assert [v["name"] for v in data["videos"]] == ["1", "2", "3"]
    assert sum(count for _, count in data["videos"][1]["runs"]) == 100
    assert len(data["videos"][1]["runs"]) == 2  # the hole in its numbers
    assert page.count("<h1") == 1 and '<html lang="en">' in page


def test_a_second_call_renders_nothing_again_and_gives_the_same_page(finished):
    folder, footage, index = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "report" / "videos").glob("*.mp4")}
    page = index.read_bytes()
    write_report(folder, footage=footage)
    assert {p: p.stat().st_mtime_ns for p in (folder / "report" / "videos").glob("*.mp4")} == before
    assert index.read_bytes() == page


def test_without_labels_maps_or_training_scores_it_says_so(tmp_path):
    folder, footage = make_run(tmp_path, labels=False, maps=False, train_scores=False, frames=30)
    page = write_report(folder, footage=footage).read_text()
    assert "no labels are known" in page and "no model of this run keeps error maps" in page
    assert "no training scores are known" in page


def test_without_any_model_the_page_shows_the_data(tmp_path):
    folder, footage = make_run(tmp_path, models=(), frames=12)
    page = write_report(folder, footage=footage).read_text()
    assert "No model has scored these videos yet" in page and "all frames" in page


def test_where_nothing_crosses_the_threshold_the_highest_moments_are_shown(tmp_path):
    folder, footage = make_run(tmp_path, videos=1, frames=30)
    run = RunFolder(folder, footage=footage)
    run.threshold = Threshold(1e6, 1e6, "")
    assert run.events == [] and len(run.moments) == 1 and run.moments[0].peak_score == run.final.max()
    page = render(Page("t", "l", 25.0, run.tracks, [], [Card(run.moments[0])], run.threshold))
    assert "The highest moment of each" in page and page.count("<article class=\"card\"") == 1


def test_one_frame_a_video(tmp_path):
    folder, footage = make_run(tmp_path, frames=1, videos=2)
    assert write_report(folder, footage=footage).exists()


def test_names_that_could_break_a_page_or_a_path(tmp_path):
    odd = "</script><b>a b#1"
    folder, footage = make_run(tmp_path, frames=80, rename={"2": odd})
    index = write_report(folder, footage=footage)
    page = index.read_text()
    assert "</script><b>" not in page
    assert len(list((folder / "report" / "videos").glob("*.mp4"))) == 3
    assert slug("01_0014") == "01_0014" and slug("a b") != slug("a-b") and "/" not in slug("../x")


def poisoned(value, payload):
    """A JSON value whose texts, and names of no meaning, are a payload."""
    if isinstance(value, dict):
        return {key: poisoned(inner, payload) for key, inner in value.items()} | {payload: payload}
    if isinstance(value, list):
        return [poisoned(inner, payload) for inner in value]
    return payload if isinstance(value, str) else value


@pytest.mark.parametrize("payload", ["<img src=x onerror=steal()>", "</script><script>steal()</script>",
                                     "\" onmouseover=\"steal()", "' onclick='steal()", "${steal()}{{steal()}}"])
def test_nothing_of_receipts_names_and_score_files_is_code_in_the_page(tmp_path, payload):
    name = payload.replace("/", "")
    folder, footage = make_run(tmp_path, frames=40, videos=2, rename={"2": name})
    plain = json.dumps({"options": {"profile": "x", "recipe": "x", "labels": "x", "data": "x", "models": ["x"]},
                        "git": "x", "versions": {"torch": "x"}, "hardware": {"name": "x", "dtype": "x"},
                        "failed": {"unet": "x"}, "hashes": {"stae": "x", "unet": "x"}, "submissions": {"all": "x"}})
    (folder / "run.json").write_text(json.dumps(poisoned(json.loads(plain), payload)))
    for path in (folder / "scores").glob("*.json"):
        about = json.loads(path.read_text())
        kept = {key: about[key] for key in ("family", "kind", "model")}
        write_json(path, poisoned(about, payload) | kept, seal=True)
    page = write_report(folder, footage=footage).read_text()
    assert "</script><script>steal" not in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)  # quotes within JSON are text
    for code in ("<img src=x onerror=steal", "\" onmouseover=\"steal", "' onclick='steal"):
        assert code not in markup
    assert "steal" in page, "names are shown, as text"


def test_videos_over_the_budget_are_named(tmp_path):
    folder, footage = make_run(tmp_path, frames=40)
    page = write_report(folder, footage=footage, video_frames=40).read_text()
    assert page.count("<video ") == 1 and "watch-file" in page


def test_maps_of_another_length_are_refused(tmp_path):
    folder, footage = make_run(tmp_path, frames=20)
    np.save(folder / "scores" / "maps" / "stae.npy", np.zeros((3, 4, 4), np.float16))
    with pytest.raises(PixelPlayError, match="holds 3 maps"):
        write_report(folder, footage=footage)


def test_a_folder_without_a_run_is_a_clear_mistake(tmp_path):
    with pytest.raises(PixelPlayError, match="01_frame_extraction"):
        write_report(tmp_path)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed: the report's scripts are tested where there is one")
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, finished):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.trouble = []
    tab.on("console", lambda m: tab.trouble.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda e: tab.trouble.append(str(e)))
    tab.on("request", lambda r: tab.trouble.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    tab.goto(finished[2].as_uri())
    tab.wait_for_function("[...document.querySelectorAll('video')].every(v => v.readyState >= 1)")
    yield tab
    assert tab.trouble == []
    context.close()


def seconds(tab, video="2"):
    return tab.evaluate(f"document.querySelector('.video[data-video=\"{video}\"] video').currentTime")


def frame_of(tab, video="2"):
    return int(tab.get_attribute(f'.video[data-video="{video}"] .timeline', "aria-valuenow"))


def test_a_click_on_the_timeline_seeks_the_video(page):
    line = page.locator('.video[data-video="2"] .timeline')
    line.scroll_into_view_if_needed()
    box = line.bounding_box()
    line.click(position={"x": box["width"] / 2, "y": 20})
    assert seconds(page) == pytest.approx(50.5 / 25, abs=0.03)
    assert frame_of(page) == 50
    assert "frame 50, 2.00 s, score" in page.locator('.video[data-video="2"] .now').inner_text()


def test_the_keyboard_moves_the_video(page):
    line = page.locator('.video[data-video="2"] .timeline')
    line.focus()
    for key, frame in (("ArrowRight", 1), ("PageUp", 26), ("ArrowLeft", 25), ("PageDown", 0), ("End", 100),
                       ("Home", 0)):
        page.keyboard.press(key)
        assert frame_of(page) == frame
        assert seconds(page) == pytest.approx((frame + 0.5) / 25, abs=0.03)
    page.keyboard.press("n")
    assert frame_of(page) in range(45, 75)


def test_a_missing_frame_says_so(page):
    line = page.locator('.video[data-video="2"] .timeline')
    line.focus()
    page.keyboard.press("Home")
    for _ in range(21):
        page.keyboard.press("ArrowRight")
    assert "no frame here" in page.locator('.video[data-video="2"] .now').inner_text()


def test_the_video_moves_the_cursor(page):
    page.evaluate("document.querySelector('.video[data-video=\"1\"] video').currentTime = 3.02")
    page.wait_for_function("document.querySelector('.video[data-video=\"1\"] .timeline').ariaValueNow == '75'")
    left = page.evaluate("document.querySelector('.video[data-video=\"1\"] .cursor').style.left")
    assert float(left.rstrip("%")) == pytest.approx(100 * 75 / 99, abs=0.1)


def test_a_card_leads_to_its_moment(page, finished):
    page.locator(".card button").first.click()
    run = RunFolder(finished[0], footage=finished[1])
    assert frame_of(page) == run.events[0].peak_frame


def test_filters_by_video_score_and_events(page):
    def shown(what):
        return page.locator(f"{what}:visible").count()

    cards = shown(".card")
    assert (cards, shown(".video")) == (page.locator(".card").count(), 3)
    page.select_option("select[name=video]", "1")
    assert (shown(".card"), shown(".video")) == (0, 1)
    page.select_option("select[name=video]", "2")
    assert (shown(".card"), shown(".video")) == (cards, 1)
    page.click("button[type=reset]")
    page.wait_for_function("document.querySelectorAll('.video:not([hidden])').length == 3")
    page.check("input[name=only]")
    assert shown(".video") == 1
    page.uncheck("input[name=only]")
    page.evaluate("const r = document.querySelector('input[name=least]'); r.value = r.max; "
                  "r.dispatchEvent(new Event('input', {bubbles: true}))")
    assert shown(".video") <= 1
    assert "Showing" in page.locator("#filter-status").inner_text()


def test_nothing_is_wider_than_a_phone(browser, finished):
    context = browser.new_context(viewport={"width": 360, "height": 740})
    tab = context.new_page()
    tab.goto(finished[2].as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_without_scripts_the_numbers_are_there(browser, finished):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(finished[2].as_uri())
    assert tab.locator(".timeline svg path").count() >= 9
    assert tab.locator("table").count() >= 2
    context.close()
