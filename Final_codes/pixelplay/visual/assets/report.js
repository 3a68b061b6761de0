"use strict";
// Timelines that move with their video, and the filters. No library, no network: data lies in #run-data.
(() => {
  const run = JSON.parse(document.getElementById("run-data").textContent);
  const byName = new Map(run.videos.map((v) => [v.name, v]));
  const players = new Map();

  // Frame numbers are stored as runs [first, count]: a hole between two runs is a hole in time.
  function rowOf(video, frame) {
    let row = 0;
    for (const [first, count] of video.runs) {
      if (frame < first) return row > 0 && frame - lastBefore(video, row) < first - frame ? row - 1 : row;
      if (frame < first + count) return row + frame - first;
      row += count;
    }
    return row - 1;
  }
  function lastBefore(video, row) { return frameOf(video, row - 1); }
  function frameOf(video, row) {
    for (const [first, count] of video.runs) {
      if (row < count) return first + row;
      row -= count;
    }
    return video.last;
  }

  class Player {
    constructor(section) {
      this.data = byName.get(section.dataset.video);
      this.section = section;
      this.media = section.querySelector("video");
      this.line = section.querySelector(".timeline");
      this.cursor = section.querySelector(".cursor");
      this.now = section.querySelector(".now");
      this.line.addEventListener("pointerdown", (e) => { this.drag = true; this.line.setPointerCapture(e.pointerId); this.point(e); });
      this.line.addEventListener("pointermove", (e) => { if (this.drag) this.point(e); });
      this.line.addEventListener("pointerup", () => { this.drag = false; });
      this.line.addEventListener("pointercancel", () => { this.drag = false; });
      this.line.addEventListener("keydown", (e) => this.key(e));
      for (const b of section.querySelectorAll("[data-step]")) {
        b.addEventListener("click", () => this.nextEvent(Number(b.dataset.step)));
      }
      if (this.media) {
        const follow = () => {
          // a late event of an earlier jump must not undo this one
          if (!this.media.seeking) this.show(this.data.first + Math.floor(this.media.currentTime * run.fps + 1e-3));
          if (!this.media.paused) requestAnimationFrame(follow);
        };
        this.media.addEventListener("play", follow);
        this.media.addEventListener("seeked", follow);
        this.media.addEventListener("timeupdate", follow);
      }
      this.show(this.data.first);
    }
    point(e) {
      const box = this.line.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (e.clientX - box.left) / box.width));
      this.seek(Math.round(this.data.first + share * (this.data.last - this.data.first)));
    }
    key(e) {
      const second = Math.max(1, Math.round(run.fps));
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -second, PageUp: second };
      if (e.key in steps) this.seek(this.frame + steps[e.key]);
      else if (e.key === "Home") this.seek(this.data.first);
      else if (e.key === "End") this.seek(this.data.last);
      else if (e.key === "n") this.nextEvent(1);
      else if (e.key === "p") this.nextEvent(-1);
      else if ((e.key === " " || e.key === "Enter") && this.media) {
        if (this.media.paused) this.media.play(); else this.media.pause();
      } else return;
      e.preventDefault();
    }
    nextEvent(step) {
      const peaks = this.data.peaks;
      const next = step > 0 ? peaks.find((f) => f > this.frame) : peaks.slice().reverse().find((f) => f < this.frame);
      if (next !== undefined) this.seek(next);
    }
    seek(frame) {
      frame = Math.min(this.data.last, Math.max(this.data.first, frame));
      // half a frame in: rounding then never lands on the neighbour
      if (this.media) this.media.currentTime = (frame - this.data.first + 0.5) / run.fps;
      this.show(frame);
    }
    show(frame) {
      frame = Math.min(this.data.last, Math.max(this.data.first, frame));
      this.frame = frame;
      const row = rowOf(this.data, frame);
      const seen = frameOf(this.data, row) === frame;
      const share = (frame - this.data.first) / Math.max(1, this.data.last - this.data.first);
      this.cursor.style.left = (share * 100) + "%";
      const seconds = ((frame - this.data.first) / run.fps).toFixed(2);
      const score = seen ? "score " + this.data.final[row].toFixed(2) : "no frame here";
      const text = "frame " + frame + ", " + seconds + " s, " + score;
      this.now.textContent = text;
      this.line.setAttribute("aria-valuenow", String(frame));
      this.line.setAttribute("aria-valuetext", text);
    }
  }

  for (const section of document.querySelectorAll(".video")) players.set(section.dataset.video, new Player(section));

  for (const button of document.querySelectorAll("[data-go]")) {
    button.addEventListener("click", () => {
      const player = players.get(button.dataset.video);
      player.section.hidden = false;
      player.seek(Number(button.dataset.go));
      player.section.scrollIntoView({ block: "start" });
      player.line.focus({ preventScroll: true });
    });
  }

  const form = document.getElementById("filters");
  if (form) {
    const status = document.getElementById("filter-status");
    const apply = () => {
      const video = form.elements.video.value, least = Number(form.elements.least.value), only = form.elements.only.checked;
      document.getElementById("least-value").textContent = least.toFixed(1);
      const loud = new Map();
      let shown = 0;
      const cards = document.querySelectorAll(".card");
      for (const card of cards) {
        const fits = (!video || card.dataset.video === video) && Number(card.dataset.score) >= least;
        card.hidden = !fits;
        if (fits) shown += 1;
      }
      for (const e of run.events) if (e.score >= least) loud.set(e.video, true);
      let videos = 0;
      for (const [name, player] of players) {
        const peak = Math.max(...byName.get(name).final);
        const fits = (!video || name === video) && peak >= least && (!only || loud.has(name));
        player.section.hidden = !fits;
        if (fits) videos += 1;
      }
      status.textContent = "Showing " + shown + " of " + cards.length + " event cards and " + videos + " of " + players.size + " videos.";
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (e) => e.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    apply();
  }
})();
