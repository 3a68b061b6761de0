"use strict";
// One player for all videos, a list of events beside it, and marks that stay. No library; the data lies in #run-data.
(() => {
  const $ = (what, root = document) => root.querySelector(what);
  const $$ = (what, root = document) => [...root.querySelectorAll(what)];
  const run = JSON.parse($("#run-data").textContent);
  const videos = new Map(run.videos.map((v) => [v.name, v]));
  const cards = new Map(run.cards.map((c) => [c.key, c]));
  const page = document.documentElement;
  page.classList.add("js");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // ---- frames and rows: frame numbers are stored as runs [first, count], and a hole between two runs is one in time

  function scoreAt(video, frame) {
    let row = 0;
    for (const [first, count] of video.runs) {
      if (frame < first) return null;
      if (frame < first + count) return video.final[row + frame - first];
      row += count;
    }
    return null;
  }

  // ---- a video whose server cannot jump is fetched as a whole: it then lies in memory, where every place can be reached

  const addresses = new Map();
  function reachable(src) {
    if (!addresses.has(src)) addresses.set(src, find(src));
    return addresses.get(src);
  }
  async function find(src) {
    if (!location.protocol.startsWith("http")) return src;
    try {
      const answer = await fetch(src, { headers: { Range: "bytes=0-0" } });
      if (answer.status === 206) return src;
      if (answer.ok) return URL.createObjectURL(await answer.blob());
    } catch (problem) {
      console.info("the video is asked for in the plain way: " + problem);
    }
    return src;
  }

  // ---- the player

  const media = $("#media"), line = $("#line"), still = $("#still");
  let video = null, frame = 0, chosen = null, wanted = null;

  async function open(name) {
    if (video && video.name === name) return;
    video = videos.get(name);
    const drawn = $(`.video[data-video="${CSS.escape(name)}"]`);
    line.replaceChildren($("svg", drawn).cloneNode(true), $(".cursor", line));
    $("#axis").replaceChildren(...$$(".axis span", drawn).map((s) => s.cloneNode(true)));
    line.setAttribute("aria-valuemin", video.first);
    line.setAttribute("aria-valuemax", video.last);
    // the old video must not take the place the new one is asked for
    media.removeAttribute("src");
    media.load();
    playable(Boolean(video.src));
    if (!video.src) return;
    const src = await reachable(video.src);
    if (video.name !== name) return;
    media.src = src;
    media.playbackRate = media.defaultPlaybackRate = Number($("#speed").value);
  }

  function playable(yes) {
    media.hidden = !yes;
    const picture = !yes && chosen && $(".face img", document.getElementById(chosen.key));
    still.hidden = !picture;
    $("#unplayed").hidden = yes;
    if (picture) { still.src = picture.src; still.alt = picture.alt; }
  }

  function seek(to, play) {
    to = Math.min(video.last, Math.max(video.first, to));
    show(to);
    wanted = { frame: to, play };
    if (media.readyState >= 1 && !media.hidden) go();
  }
  function go() {
    if (wanted === null) return;
    const { frame: to, play } = wanted;
    wanted = null;
    // half a frame in: rounding then never lands on the neighbour
    media.currentTime = (to - video.first + 0.5) / run.fps;
    if (play === true) media.play().catch(() => {});
    if (play === false) media.pause();
  }

  function follow(seconds) {
    // a late event of an earlier jump must not undo this one
    if (media.seeking || wanted !== null || media.readyState < 2) return;
    show(video.first + Math.floor(seconds * run.fps + 1e-3));
    const past = chosen && frame - chosen.last - run.fps / 2;
    if (!media.paused && looping() && past > 0 && past < 2 * run.fps) seek(begin(), true);
  }
  function each_frame(_, shown) {
    follow(shown ? shown.mediaTime : media.currentTime);
    if (!media.paused) again();
  }
  // the picture that is on the screen, where the browser tells; else the clock, which runs ahead of it
  const again = () => (media.requestVideoFrameCallback ? media.requestVideoFrameCallback(each_frame) : requestAnimationFrame(each_frame));
  const looping = () => $("#loop").checked && chosen && chosen.video === video.name;
  const begin = () => Math.round(chosen.first - run.fps);

  function show(number) {
    frame = Math.min(video.last, Math.max(video.first, number));
    const share = (frame - video.first) / Math.max(1, video.last - video.first);
    $(".cursor", line).style.left = (share * 100) + "%";
    const score = scoreAt(video, frame);
    const text = "frame " + frame + ", " + ((frame - video.first) / run.fps).toFixed(2) + " s, "
      + (score === null ? "no frame here" : "score " + score.toFixed(1));
    $("#now").textContent = text;
    line.setAttribute("aria-valuenow", String(frame));
    line.setAttribute("aria-valuetext", text);
  }

  function toggle() {
    if (media.hidden) return;
    if (media.paused) media.play().catch(() => {}); else media.pause();
  }

  if (media) {
    media.addEventListener("loadedmetadata", go);
    media.addEventListener("error", () => { if (media.getAttribute("src")) playable(false); });
    media.addEventListener("play", again);
    media.addEventListener("seeked", () => follow(media.currentTime));
    media.addEventListener("ended", () => { if (looping()) seek(begin(), true); });
    const told = () => {
      $("#play").textContent = media.paused ? "\u25b6" : "\u275a\u275a";
      $("#play").setAttribute("aria-label", media.paused ? "Play" : "Pause");
    };
    media.addEventListener("play", told);
    media.addEventListener("pause", told);
    media.addEventListener("click", toggle);
    $("#play").addEventListener("click", toggle);
    $("#speed").addEventListener("change", (e) => { media.playbackRate = media.defaultPlaybackRate = Number(e.target.value); });
    $("#models")?.addEventListener("change", (e) => page.classList.toggle("each-model", e.target.checked));
    for (const b of $$("[data-step]")) b.addEventListener("click", () => seek(frame + Number(b.dataset.step), false));
    $("#next").addEventListener("click", () => another(1));
    $("#previous").addEventListener("click", () => another(-1));
    $("#close").addEventListener("click", () => { media.pause(); page.classList.remove("playing"); });
    drag(line, () => video);
    for (const section of $$(".video")) drag($(".timeline", section), () => videos.get(section.dataset.video));
  }

  function drag(place, of) {
    let held = false;
    const point = (e) => {
      const box = place.getBoundingClientRect(), target = of();
      const share = Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
      // whoever points at another place than the event wants to stay there
      if (!chosen || chosen.video !== target.name) choose(null);
      page.classList.add("playing");
      open(target.name);
      seek(Math.round(target.first + share * (target.last - target.first)), false);
    };
    place.addEventListener("pointerdown", (e) => { held = true; place.setPointerCapture(e.pointerId); point(e); });
    place.addEventListener("pointermove", (e) => { if (held) point(e); });
    for (const end of ["pointerup", "pointercancel"]) {
      place.addEventListener(end, () => {
        if (held && place !== line) $("#player").scrollIntoView({ block: "nearest" });
        held = false;
      });
    }
  }

  // ---- the list

  function choose(card) {
    chosen = card;
    for (const item of $$(".card")) item.classList.toggle("current", card !== null && item.id === card.key);
    $("#player-title").textContent = card ? card.name + ", video " + card.video : "Player";
  }

  function select(key, { play = true, reveal = true } = {}) {
    const card = cards.get(key);
    if (!card) return;
    choose(card);
    if (reveal) page.classList.add("playing");
    open(card.video);
    if (!video.src || media.hidden) playable(false);
    // from a second before it: a video that begins at its highest moment shows nothing of how it came about
    seek(play && !calm ? begin() : card.peak, play && !calm);
    if (reveal) {
      document.getElementById(key).scrollIntoView({ block: "nearest" });
      line.focus({ preventScroll: true });
      try { history.replaceState(null, "", "#" + key); } catch (problem) { console.info("no address here: " + problem); }
    }
  }

  const shown = () => $$(".card:not([hidden])");
  function another(step) {
    const list = shown(), place = list.findIndex((item) => chosen && item.id === chosen.key);
    const next = list[place < 0 ? (step > 0 ? 0 : list.length - 1) : place + step];
    if (next) select(next.id);
  }

  for (const link of $$("a[data-key]")) {
    link.addEventListener("click", (e) => { e.preventDefault(); select(link.dataset.key); });
  }

  const form = $("#filters"), listed = $(".cards");
  function filter() {
    const kind = form.elements.kind ? form.elements.kind.value : "", of = form.elements.video.value;
    const marks = read(), items = $$(".card");
    for (const item of items) {
      const card = cards.get(item.id);
      item.hidden = !((!kind || card.kind === kind) && (!of || card.video === of)
        && (!form.elements.open.checked || !marks[mark_key(card)]));
    }
    const count = shown().length;
    $("#nothing").hidden = count > 0;
    $("#filter-status").textContent = count === items.length ? "" : "Showing " + count + " of " + items.length + ".";
  }
  function sort() {
    const order = run.cards.map((card, place) => ({ card, place }));
    const names = run.videos.map((v) => v.name);
    if (form.elements.sort.value === "time") {
      order.sort((a, b) => names.indexOf(a.card.video) - names.indexOf(b.card.video) || a.card.first - b.card.first);
    }
    listed.append(...order.map((one) => document.getElementById(one.card.key)));
  }
  if (form) {
    form.addEventListener("input", () => { sort(); filter(); });
    form.addEventListener("submit", (e) => e.preventDefault());
    $("#show-all").addEventListener("click", () => { form.reset(); sort(); filter(); });
  }

  // ---- marks: kept under the run and the frames, so that a new report of the same run still knows them

  let memory = {};  // where a browser keeps nothing for this page
  const mark_key = (card) => card.video + " " + card.first + " " + card.last;
  function read() {
    try { return JSON.parse(localStorage.getItem(run.key)) || memory; } catch { return memory; }
  }
  function write(marks) {
    memory = marks;
    try { localStorage.setItem(run.key, JSON.stringify(marks)); } catch (problem) { console.info("marks are not kept: " + problem); }
  }
  function show_marks() {
    const marks = read();
    for (const item of $$(".card")) {
      const value = marks[mark_key(cards.get(item.id))] || "";
      const words = $(".mark", item);
      words.hidden = !value;
      words.textContent = value ? "Marked: " + value : "";
      for (const b of $$("[data-mark]", item)) b.setAttribute("aria-pressed", String(b.dataset.mark === value));
    }
  }
  function mark(card, value) {
    const marks = { ...read() }, key = mark_key(card);
    if (marks[key] === value) delete marks[key]; else marks[key] = value;
    write(marks);
    show_marks();
  }
  for (const b of $$("[data-mark]")) b.addEventListener("click", () => mark(cards.get(b.closest(".card").id), b.dataset.mark));
  $("#export")?.addEventListener("click", () => {
    const marks = read();
    const list = run.cards.map((c) => ({ event: c.key, kind: c.kind, video: c.video, first_frame: c.first,
      last_frame: c.last, peak_frame: c.peak, score: c.score, mark: marks[mark_key(c)] || "" }));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(list, null, 1)], { type: "application/json" }));
    link.download = "marks.json";
    link.click();
    $("#export-status").textContent = list.filter((one) => one.mark).length + " marks written to marks.json.";
  });

  // ---- keys

  document.addEventListener("keydown", (e) => {
    if (!media || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.target.closest("input, select, textarea") || (e.target.closest("button, a, summary") && [" ", "Enter"].includes(e.key))) return;
    const second = Math.max(1, Math.round(run.fps)), step = e.shiftKey ? second : 1;
    const at_line = e.target === line;
    if (e.key === "j") another(1);
    else if (e.key === "k") another(-1);
    else if (e.key === "r" && chosen) mark(chosen, "reviewed");
    else if (e.key === "f" && chosen) mark(chosen, "false alarm");
    else if (e.key === "ArrowLeft" || (at_line && e.key === "ArrowDown")) seek(frame - step, false);
    else if (e.key === "ArrowRight" || (at_line && e.key === "ArrowUp")) seek(frame + step, false);
    else if (at_line && e.key === "PageDown") seek(frame - second, false);
    else if (at_line && e.key === "PageUp") seek(frame + second, false);
    else if (at_line && e.key === "Home") seek(video.first, false);
    else if (at_line && e.key === "End") seek(video.last, false);
    else if (e.key === " " || (at_line && e.key === "Enter")) toggle();
    else return;
    e.preventDefault();
  });

  // ---- begin: the event of the address, or the first

  show_marks();
  if (form) filter();
  const asked = () => decodeURIComponent(location.hash.slice(1));
  window.addEventListener("hashchange", () => select(asked()));
  if (media && cards.has(asked())) select(asked(), { play: false });
  else if (media && run.cards.length) select(run.cards[0].key, { play: false, reveal: false });
  else if (media) { open(run.videos[0].name); seek(run.videos[0].first, false); }
})();
