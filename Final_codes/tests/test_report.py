"""The report: a self-contained page whose timeline moves its video, tested in a real browser where there is one."""

from __future__ import annotations

import base64
import csv
import functools
import http.server
import json
import re
import shutil
import threading
import webbrowser
from html.parser import HTMLParser

import cv2
import numpy as np
import pandas as pd
import pytest
from finished_run import ODD, make_run

from pixelplay.cli import main
from pixelplay.errors import PixelPlayError
from pixelplay.files import write_json
from pixelplay.fusion.events import Event, Threshold
from pixelplay.visual import style
from pixelplay.visual.report import slug, write_report
from pixelplay.visual.report_cards import make_cards, scene
from pixelplay.visual.report_page import Card, Page, Picture, Table, _asset, render
from pixelplay.visual.run_folder import RunFolder
from pixelplay.visual.timeline import Track
from pixelplay.visual.timeline_svg import ticks, timeline_svg
from pixelplay.visual.verdict import Verdict, anomalies_of, clock, duration, judge

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


def data_of(page):
    return json.loads(re.search(r'id="run-data">(.*?)</script>', page, re.S).group(1))


def test_page_is_whole_and_alone(finished):
    _, _, index = finished
    page = index.read_text()
    assert not re.search(r"(src|href)=\"(https?:)?//", page) and "{{" not in page and "{%" not in page
    for link in re.findall(r"(?:src|href)=\"([^\"#:]+)\"", page):
        assert (index.parent / link).is_file(), link
    for image in re.findall(r"<img[^>]*>", page):
        assert re.search(r'alt="[^"]+"', image) or 'id="still"' in image, image
    data = data_of(page)
    assert [v["name"] for v in data["videos"]] == ["1", "2", "3"]
    assert sum(count for _, count in data["videos"][1]["runs"]) == 100
    assert len(data["videos"][1]["runs"]) == 2  # the hole in its numbers
    assert page.count("<h1") == 1 and '<html lang="en">' in page
    assert all((index.parent / v["src"]).is_file() for v in data["videos"])


def test_pictures_lie_in_the_page_and_show_the_scene(finished):
    page = finished[2].read_text()
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)" width="(\d+)" height="(\d+)"', page)
    assert found
    for data, words, width, height in found:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[:2] == (int(height), int(width)) and "video" in words


def test_the_verdict_comes_first_then_the_events_then_the_player(finished):
    page = finished[2].read_text()
    order = ("<h1>1 of 1 found, ", 'id="events"', 'id="player"', "How good the scores are")
    places = [page.index(words) for words in order]
    assert places == sorted(places)
    assert "<details><summary>How good the scores are</summary>" in page  # folded


def test_a_second_call_renders_nothing_again_and_gives_the_same_page(finished):
    folder, footage, index = finished
    before = {p: p.stat().st_mtime_ns for p in (folder / "report" / "videos").glob("*.mp4")}
    page = index.read_bytes()
    write_report(folder, footage=footage)
    assert {p: p.stat().st_mtime_ns for p in (folder / "report" / "videos").glob("*.mp4")} == before
    assert index.read_bytes() == page


def test_without_labels_maps_or_training_scores_it_says_so(tmp_path):
    folder, footage = make_run(tmp_path, labels=False, maps=False, train_scores=False, frames=60)
    page = write_report(folder, footage=footage).read_text()
    assert "no labels are known" in page and "no model of this run keeps error maps" in page
    assert "no training scores are known" in page and "no held-out training scores" in page
    assert "<h1>Nothing unusual found</h1>" in page and "No event in 7 s of footage from 3 videos." in page


def test_without_any_model_the_page_shows_the_data(tmp_path):
    folder, footage = make_run(tmp_path, models=(), frames=12)
    page = write_report(folder, footage=footage).read_text()
    assert "No model has scored these videos yet" in page and "all frames" in page
    assert json.loads((folder / "report" / "events.json").read_text())["events"] == []


def test_where_nothing_crosses_the_threshold_the_highest_moments_are_shown(tmp_path):
    folder, footage = make_run(tmp_path, videos=1, frames=30)
    run = RunFolder(folder, footage=footage)
    run.threshold = Threshold(1e6, 1e6, "")
    assert run.events == [] and len(run.moments) == 1 and run.moments[0].peak_score == run.final.max()
    verdict = judge(run)
    cards = make_cards(run, verdict, None, 1)
    assert verdict.headline == "Nothing unusual found" and [c.kind for c in cards] == ["moment"]
    page = render(Page("t", "k", verdict, 25.0, run.tracks, [], cards, run.threshold))
    assert "Highest moments" in page and page.count('<li class="card') == 1


def test_one_frame_a_video(tmp_path):
    folder, footage = make_run(tmp_path, frames=1, videos=2)
    assert write_report(folder, footage=footage).exists()


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
    assert sum(bool(v["src"]) for v in data_of(page)["videos"]) == 1 and "watch-file" in page


def test_maps_of_another_length_are_refused(tmp_path):
    folder, footage = make_run(tmp_path, frames=20)
    np.save(folder / "scores" / "maps" / "stae.npy", np.zeros((3, 4, 4), np.float16))
    with pytest.raises(PixelPlayError, match="holds 3 maps"):
        write_report(folder, footage=footage)


def test_a_folder_without_a_run_is_a_clear_mistake(tmp_path):
    with pytest.raises(PixelPlayError, match="01_frame_extraction"):
        write_report(tmp_path)


# ---- escaping -----------------------------------------------------------------------------------------------


PAYLOADS = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\" onmouseover=\"alert(1)",
            "' onfocus='alert(1)", "{{ 7 * 7 }}", "</style><b>", "]]><!--", "&lt;b&gt;"]


class Seen(HTMLParser):
    """Elements, attributes and text of a page as a browser would take them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def page_of(words):
    """A page with `words` in every field that takes words."""
    track = Track(words, np.arange(10), np.linspace(0, 5, 10), {words: np.zeros(10)}, np.arange(10) > 5)
    event = Event(words, 6, 9, 9, 5.0, 9, 4, words)
    card = Card("event-1", "found", words, words, 6, 9, 9, 5.0, words, words, {words: 1.0},
                *(Picture("data:,", words, (4, 3)) for _ in range(3)))
    table = Table(words, ["", words], [[words, words]], [0])
    return Page(words, words, Verdict(words, words), 25.0, [track], [event], [card], Threshold(2.0, 1.0, words),
                {words: words}, [table], {words: words}, [table], Picture("repairs.jpg", words, (4, 3)),
                {words: {words: words}}, [words])


@pytest.mark.parametrize("words", PAYLOADS)
def test_no_field_can_change_the_page(words):
    plain, attacked = Seen(render(page_of("plain"))), Seen(render(page_of(words)))
    assert attacked.tags == plain.tags and attacked.attributes == plain.attributes
    assert attacked.text.count(words) >= 20
    assert data_of(render(page_of(words)))["videos"][0]["name"] == words


def test_names_that_could_break_a_page_or_a_path(tmp_path):
    odd = "</script><b>a b#1"
    folder, footage = make_run(tmp_path, frames=80, rename={"2": odd})
    index = write_report(folder, footage=footage)
    assert "</script><b>" not in index.read_text()
    assert len(list((folder / "report" / "videos").glob("*.mp4"))) == 3
    assert slug("01_0014") == "01_0014" and slug("a b") != slug("a-b") and "/" not in slug("../x")


# ---- verdict, cards, tables, drawing ------------------------------------------------------------------------


def event(video, first, last, score=3.0):
    return Event(video, first, last, (first + last) // 2, score, 0, last - first + 1, "")


def test_an_anomaly_is_found_where_an_event_touches_it():
    labels = np.zeros(100, bool)
    labels[10:30], labels[33:40], labels[80:90] = True, True, True
    track = Track("v", np.arange(100, 200), np.arange(100) / 10, labels=labels)
    events = [event("v", 95, 111), event("v", 135, 138), event("w", 180, 190)]
    near, far = anomalies_of(track, events, join=12)
    assert (near.first_frame, near.last_frame, far.first_frame) == (110, 139, 180)
    assert near.found_by == tuple(events[:2]) and near.covered == pytest.approx(6 / 27) and far.found_by == ()
    assert (far.peak_frame, far.peak_score) == (189, 8.9)
    assert anomalies_of(Track("v", np.arange(3), np.zeros(3), labels=np.zeros(3, bool)), [], 1) == []


def test_kinds_beside_the_labels_name_anomalies(tmp_path):
    folder, footage = make_run(tmp_path, frames=80)
    run = RunFolder(folder, footage=footage)
    beside = run.label_path.parent / "event_kinds.csv"
    assert run.kinds == [] and {a.kind for a in judge(run).anomalies} == {""}
    (anomaly,) = judge(run).anomalies
    beside.write_text(f"kind,video,first,last\nwrong_way,{anomaly.video},{anomaly.first_frame},{anomaly.last_frame}\n"
                      f"cart,other,{anomaly.first_frame},{anomaly.last_frame}\n")
    run = RunFolder(folder, footage=footage)
    (anomaly,) = judge(run).anomalies
    assert anomaly.kind == "wrong way" and anomaly.words == "the labelled anomaly (wrong way)"
    assert any("wrong way" in c.detail for c in make_cards(run, judge(run), None, 0))
    beside.write_text("video,first,last\n")
    with pytest.raises(PixelPlayError, match=r"event_kinds\.csv has no column kind"):
        _ = RunFolder(folder, footage=footage).kinds


def judged(finished, events):
    run = RunFolder(finished[0], footage=finished[1])
    run.events = events
    return run, judge(run)


def test_found_false_alarms_and_missed_are_counted_and_have_cards(finished):
    odd = [int(v) for v in RunFolder(finished[0], footage=finished[1]).test["frame"].to_numpy()[100:200][list(ODD)]]
    run, verdict = judged(finished, [event("1", 3, 20)])
    assert verdict.headline == "0 of 1 found, 1 false alarm, 1 missed"
    cards = make_cards(run, verdict, None, 0)
    assert [c.kind for c in cards] == ["false alarm", "missed"] and cards[1].picture and cards[0].picture is None
    assert (cards[1].first_frame, cards[1].last_frame) == (odd[0], odd[-1])
    _, verdict = judged(finished, [event("2", odd[5], odd[9]), event("2", odd[20], odd[22])])
    assert verdict.headline == "1 of 1 found, no false alarm, 0 missed"


def test_without_labels_events_are_counted_and_footage_measured(finished):
    run = RunFolder(finished[0], footage=finished[1])
    run.labels = None
    run.events = [event("1", 3, 20), event("2", 3, 20)]
    verdict = judge(run)
    assert verdict.headline == "2 events in 12 s of footage" and verdict.anomalies is None and verdict.missed == ()
    assert {c.kind for c in make_cards(run, verdict, None, 0)} == {"event"}


def test_held_out_normal_footage_is_counted_by_the_same_rule(finished):
    run = RunFolder(finished[0], footage=finished[1])
    assert "Held-out normal footage (8 s) raises" in judge(run).sentence
    run = RunFolder(finished[0], footage=finished[1])
    run.final_train = np.zeros(200)
    run.threshold = Threshold(1.0, 0.5, "")
    run.final_train[40:60] = 2.0
    assert "raises 1 false alarm at the same threshold" in judge(run).sentence


def test_events_are_written_for_other_programs(finished):
    folder = finished[2].parent
    run = RunFolder(finished[0], footage=finished[1])
    with (folder / "events.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    whole = json.loads((folder / "events.json").read_text())
    assert len(rows) == len(whole["events"]) == len(run.events) > 0
    assert int(rows[0]["peak_frame"]) == run.events[0].peak_frame and rows[0]["verdict"] == "found"
    assert whole["verdict"].startswith("1 of 1 found") and whole["threshold"]["begins"] == run.threshold.high


def test_one_event_has_one_score(finished):
    run, page = RunFolder(finished[0], footage=finished[1]), finished[2].read_text()
    peak = run.events[0]
    data = data_of(page)
    card = data["cards"][0]
    video = next(v for v in data["videos"] if v["name"] == peak.video)
    row = peak.peak_row - 100  # video 2 begins there
    assert f"{video['final'][row]:.1f}" == f"{card['score']:.1f}" == f"{peak.peak_score:.1f}"
    assert f"score&nbsp;<b>{peak.peak_score:.1f}</b>" in page
    assert "deviations above normal)" not in peak.reason


def test_a_scene_is_a_part_of_the_frame_with_the_box_in_it():
    frame = np.zeros((360, 640, 3), np.uint8)
    for box in ((0, 0, 10, 20), (630, 340, 640, 360), (100, 50, 600, 350), (300, 100, 320, 150)):
        part = scene(frame, box)
        assert part.shape[1] / part.shape[0] == pytest.approx(4 / 3, abs=0.02) and part.shape[0] <= 360
        frame[:] = 0
        frame[box[1]:box[3], box[0]:min(box[2], box[0] + 480)] = 255
        assert scene(frame, box).any()
    assert scene(np.zeros((9, 5, 3), np.uint8), (0, 0, 1, 1)).size > 0


def test_both_thresholds_events_labels_and_holes_are_drawn():
    frames = np.r_[0:20, 30:50]
    track = Track("v", frames, np.linspace(0, 4, 40), {"stae": np.zeros(40)}, np.arange(40) > 30,
                  flags=np.array(["noise"] * 3 + [""] * 37, dtype=object))
    drawn = timeline_svg(track, low=0, high=4, threshold=Threshold(3.0, 2.0, ""), events=[event("v", 40, 49)])
    for kind in ("begins", "ends", "final", "model", "event", "shade", "truth", "repaired", "hole"):
        assert drawn.count(f'class="{kind}"') == 1, kind
    assert drawn.count("M") == 4  # both curves break at the hole
    one = Track("v", np.array([7]), np.array([1.0]))
    assert "<svg" in timeline_svg(one, low=0, high=1) and ticks(0.0) == [0.0]
    assert len(timeline_svg(Track("v", np.arange(100_000), np.zeros(100_000)), low=0, high=1)) < 40_000
    assert ticks(4.1) == [0.0, 1.0, 2.0, 3.0, 4.0] and len(ticks(40_000)) <= 8


def test_times_in_words():
    assert [duration(s) for s in (33, 600, 7200)] == ["33 s", "10 min", "2.0 h"]
    assert [clock(s) for s in (4.21, 187, 3727)] == ["4.2 s", "3:07", "1:02:07"]


GROUNDS = ("ground", "tint", "alarm-shade")
LANES = ("truth", "repaired", "unreliable", "hole")
LINES = ("final", "begins", "ends", "alarm", "found", "missed", "link", "soft", *LANES)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_line_and_every_word_stands_out(mode):
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", _asset("report.css").split("@media")[mode == "dark"]))
    for line in LINES:
        for ground in GROUNDS if line not in LANES else GROUNDS[:2]:
            assert style.contrast(colours[line], colours[ground]) >= 3, (line, ground)
    for words in ("ink", "soft", "link"):
        assert min(style.contrast(colours[words], colours[ground]) for ground in ("ground", "tint")) >= 4.5
    for chip in ("alarm", "found", "missed", "soft"):
        assert style.contrast(colours["ground"], colours[chip]) >= 4.5, chip


def test_the_report_command_writes_and_opens(finished, monkeypatch, capsys, tmp_path):
    folder, _, index = finished
    opened, written = [], []
    monkeypatch.setattr("pixelplay.visual.report_command.write_report", lambda run: written.append(run) or index)
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    assert main(["report", str(folder), "--open"]) == 0 and main(["report", str(folder / "scores")]) == 0
    assert opened == [index.as_uri()] and [w.resolve() for w in written] == [folder.resolve()] * 2
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 2 and "no finished run" in capsys.readouterr().err


# ---- in a browser -------------------------------------------------------------------------------------------


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


class Plain(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` does: it knows no ranges."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def addresses(finished):
    """place -> address of the same page: from disk, and from a server that cannot jump in a file."""
    index = finished[2]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Plain, directory=str(index.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"disk": index.as_uri(), "server": f"http://127.0.0.1:{server.server_port}/index.html"}
    server.shutdown()


SCREENS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture
def visit(browser, addresses):
    """Opens the page; every visit has to end without a message in the console or a request to elsewhere."""
    visits = []

    def opened(place="disk", screen="desktop", part="", **options):
        context = browser.new_context(viewport=SCREENS[screen], **options)
        tab = context.new_page()
        tab.trouble = []
        tab.on("console", lambda m: tab.trouble.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: tab.trouble.append(str(e)))
        tab.on("request", lambda r: tab.trouble.append(r.url) if not r.url.startswith(
            ("file:", "data:", "blob:", addresses["server"].rpartition("/")[0])) else None)
        tab.goto(addresses[place] + part)
        visits.append((context, tab))
        if options.get("java_script_enabled", True):
            tab.wait_for_function("document.querySelector('#media').readyState >= 2")
        return tab

    yield opened
    for context, tab in visits:
        assert tab.trouble == []
        context.close()


def frame_of(tab):
    return int(tab.get_attribute("#line", "aria-valuenow"))


def at_frame(tab, frame, first=0):
    """Wait until player, cursor and picture are all at a frame."""
    tab.wait_for_function("""([frame, time]) => { const media = document.querySelector('#media');
        return document.querySelector('#line').ariaValueNow == frame && !media.seeking
            && Math.abs(media.currentTime - time) < 0.03 }""", arg=[str(frame), (frame - first + 0.5) / 25])


def brightness(tab):
    """Mean of the picture the player shows."""
    return tab.evaluate("""() => { const c = document.createElement('canvas'), m = document.querySelector('#media');
        c.width = 32; c.height = 18; const g = c.getContext('2d'); g.drawImage(m, 0, 0, 32, 18);
        try { return g.getImageData(0, 0, 32, 18).data.reduce((a, b) => a + b) } catch (e) { return null } }""")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "server"])
@pytest.mark.parametrize("screen", SCREENS)
def test_an_event_is_played_from_before_it_and_again(visit, finished, place, screen):
    tab = visit(place, screen)
    peak = RunFolder(finished[0], footage=finished[1]).events[0]
    tab.locator(".card h3 a").first.click()
    tab.wait_for_function("!document.querySelector('#media').paused")
    tab.wait_for_function(f"Number(document.querySelector('#line').ariaValueNow) > {peak.first_frame}")
    tab.wait_for_function(f"Number(document.querySelector('#line').ariaValueNow) < {peak.first_frame}", timeout=15000)
    assert tab.locator("#media").is_visible() and not tab.locator("#unplayed").is_visible()
    assert tab.url.endswith("#event-1")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["disk", "server"])
def test_a_click_on_a_timeline_seeks(visit, place):
    tab = visit(place)
    tab.locator("#player-title").wait_for()
    box = tab.locator("#line").bounding_box()
    tab.locator("#line").click(position={"x": box["width"] / 2, "y": 20})
    at_frame(tab, 50)
    assert "frame 50, 2.00 s, score" in tab.locator("#now").inner_text()
    small = tab.locator('.video[data-video="1"] .timeline')
    small.scroll_into_view_if_needed()
    box = small.bounding_box()
    small.click(position={"x": box["width"] / 4, "y": 20})
    at_frame(tab, 25)
    assert tab.locator("#player-title").inner_text() == "Player" and tab.locator(".card.current").count() == 0


@pytest.mark.slow
def test_a_server_that_cannot_jump_shows_the_right_picture(visit):
    tab = visit("server")
    tab.locator("#line").focus()
    seen = {}
    for key, frame in (("Home", 0), ("End", 100)):
        tab.keyboard.press(key)
        at_frame(tab, frame)
        seen[frame] = brightness(tab)
    assert seen[0] is not None and seen[0] != seen[100]
    assert tab.evaluate("document.querySelector('#media').src").startswith("blob:")


@pytest.mark.slow
def test_the_keyboard_moves_the_video_and_the_events(visit, finished):
    tab = visit()
    line = tab.locator("#line")
    line.focus()
    for key, frame in (("Home", 0), ("ArrowRight", 1), ("PageUp", 26), ("ArrowLeft", 25), ("Shift+ArrowLeft", 0),
                       ("End", 100)):
        tab.keyboard.press(key)
        at_frame(tab, frame)
    tab.keyboard.press("k")
    assert tab.locator(".card.current").get_attribute("id") == "event-1"
    tab.keyboard.press(" ")
    tab.wait_for_function("!document.querySelector('#media').paused")
    tab.keyboard.press(" ")
    tab.wait_for_function("document.querySelector('#media').paused")
    cards = tab.locator(".card").count()
    for _ in range(cards + 2):
        tab.keyboard.press("j")
    assert tab.locator(".card.current").get_attribute("id") == tab.locator(".card").last.get_attribute("id")


@pytest.mark.slow
def test_a_missing_frame_says_so(visit):
    tab = visit()
    tab.locator("#line").focus()
    tab.keyboard.press("Home")
    for _ in range(21):
        tab.keyboard.press("ArrowRight")
    assert "no frame here" in tab.locator("#now").inner_text()


@pytest.mark.slow
def test_a_deep_link_opens_its_event_at_its_peak(visit, finished):
    peak = RunFolder(finished[0], footage=finished[1]).events[0]
    tab = visit(part="#event-1")
    at_frame(tab, peak.peak_frame)
    assert tab.locator("#event-1.current").count() == 1 and tab.evaluate("document.querySelector('#media').paused")
    tab.evaluate("location.hash = '#nothing'")
    assert tab.locator("#event-1.current").count() == 1


@pytest.mark.slow
def test_marks_are_kept_shown_filtered_and_exported(visit):
    tab = visit("server")
    tab.click("#event-1 [data-mark=reviewed]")
    assert tab.locator("#event-1 .mark").inner_text() == "Marked: reviewed"
    tab.keyboard.press("f")
    tab.reload()
    tab.wait_for_function("document.querySelector('#media').readyState >= 2")
    assert tab.locator("#event-1 .mark").inner_text() == "Marked: false alarm"
    with tab.expect_download() as download:
        tab.click("#export")
    exported = json.loads(download.value.path().read_text())
    assert exported[0]["mark"] == "false alarm" and exported[0]["event"] == "event-1"
    if tab.locator("#filters").count():
        tab.check("input[name=open]")
        assert not tab.locator("#event-1").is_visible()
        tab.uncheck("input[name=open]")
    tab.keyboard.press("f")
    assert not tab.locator("#event-1 .mark").is_visible()


@pytest.mark.slow
def test_the_first_event_is_on_a_phones_first_screen_and_nothing_is_wider(visit):
    tab = visit(screen="phone")
    box = tab.locator(".card").first.bounding_box()
    assert box["y"] + 120 < 844
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.locator(".card h3 a").first.click()
    assert tab.locator("#player").bounding_box()["y"] >= -1 and tab.locator("#media").bounding_box()["width"] > 300
    tab.click("#close")
    assert not tab.locator("#player").is_visible()
    tab.set_viewport_size({"width": 320, "height": 640})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.fixture(scope="module")
def mixed(finished, tmp_path_factory):
    """A page with events of every kind."""
    run = RunFolder(finished[0], footage=finished[1])
    run.events = [event("1", 3, 20, 5.0), event("3", 30, 60, 4.0)]
    verdict = judge(run)
    place = tmp_path_factory.mktemp("mixed") / "index.html"
    place.write_text(render(Page("t", "mixed", verdict, 25.0, run.tracks, run.events, make_cards(run, verdict, None, 3),
                                 run.threshold)))
    return place


@pytest.mark.slow
def test_filters_and_order(browser, mixed):
    tab = browser.new_page(viewport=SCREENS["desktop"])
    tab.goto(mixed.as_uri())

    def shown():
        return [c.get_attribute("id") for c in tab.locator(".card:visible").all()]

    assert shown() == ["event-1", "event-2", "missed-1"]
    tab.check("input[value=missed]")
    assert shown() == ["missed-1"] and "Showing 1 of 3" in tab.locator("#filter-status").inner_text()
    tab.select_option("select[name=video]", "1")
    assert shown() == [] and tab.locator("#nothing").is_visible()
    tab.click("#show-all")
    assert len(shown()) == 3 and not tab.locator("#nothing").is_visible()
    tab.select_option("select[name=sort]", "time")
    assert shown() == ["event-1", "missed-1", "event-2"]
    # without a video, the event's picture stands in its place
    tab.locator(".card h3 a").first.click()
    assert tab.locator("#still").is_visible() and tab.locator("#unplayed").is_visible()
    tab.close()


@pytest.mark.slow
def test_without_scripts_the_numbers_are_there(visit):
    tab = visit(java_script_enabled=False)
    assert tab.locator(".video .timeline svg path").count() >= 9
    assert tab.locator("table").count() >= 2 and tab.locator(".card .more").first.is_visible()
    assert not tab.locator("#player").is_visible()


@pytest.mark.slow
def test_where_a_page_may_keep_nothing_it_works_all_the_same(browser, finished):
    """A viewer shows the page alone, in a frame without an origin, without its folder: pictures stay, marks do not."""
    tab = browser.new_page(viewport=SCREENS["desktop"])
    problems = []
    tab.on("pageerror", lambda e: problems.append(str(e)))
    tab.set_content("<iframe sandbox='allow-scripts' style='width: 1200px; height: 900px'></iframe>")
    tab.evaluate("page => document.querySelector('iframe').srcdoc = page", finished[2].read_text())
    inside = tab.frame_locator("iframe")
    inside.locator("#event-1 h3 a").click()
    inside.locator("#unplayed").wait_for(timeout=10000)
    assert inside.locator("#still").is_visible()
    inside.locator("#event-1 [data-mark=reviewed]").click()
    assert inside.locator("#event-1 .mark").inner_text() == "Marked: reviewed" and problems == []
    tab.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_accessibility_has_no_serious_finding(visit, screen, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    tab = visit(screen=screen, color_scheme=scheme)
    for summary in tab.locator("summary").all():
        summary.click()
    found = axe.Axe().run(tab).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
