"""Overview page of many cameras: outcome, metrics if labels are known, and links to the reports.

Reads the results of `pixelplay cameras` and the events of each camera's report; makes one HTML text in the style of the
report, with links relative to the output folder.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
import pandas as pd
from markupsafe import Markup

from pixelplay.evaluation.cameras import METRICS
from pixelplay.evaluation.report import METRICS as TITLES
from pixelplay.evaluation.report import cell, interval_of
from pixelplay.visual.verdict import count


class Camera(NamedTuple):
    """Outcome of one camera.

    Attributes:
        name: of the camera; folder: of its run.
        scored: whether its test videos have scores.
        reason: why it, or some of its models, failed; '' = no failure.
    """

    name: str
    folder: Path
    scored: bool
    reason: str = ""

    @property
    def words(self) -> str:
        """Outcome in words; '' if it was fitted and scored."""
        if self.reason:
            return f"FAILED: {self.reason}" if not self.scored else f"some models FAILED: {self.reason}"
        return "" if self.scored else "learnt; it has no test videos"


def metric_cells(cameras: Sequence[Camera], metrics: Mapping[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
    """Column titles, and camera -> cells in percent, from `evaluate_cameras`; no columns without labels."""
    if not metrics:
        return [], {camera.name: [] for camera in cameras}
    rows = metrics["cameras"]
    return [TITLES[m] for m in METRICS], {
        c.name: [cell(interval_of(rows[c.name], m) if c.name in rows else None, digits=1) for m in METRICS]
        for c in cameras}


def cameras_page(cameras: Sequence[Camera], output: Path, metrics: Mapping[str, Any]) -> str:
    """The HTML document.

    Args:
        output: folder of the page; the folders of the cameras lie in it.
        metrics: from `evaluate_cameras`; {} without labels.
    """
    header, cells = metric_cells(cameras, metrics)
    events = {c.name: _events(c) for c in cameras}
    failed = sum(bool(c.reason) for c in cameras)
    total = {}
    if metrics:
        total["all frames together"] = [cell(interval_of(metrics["micro"], m), digits=1) for m in METRICS]
        total["mean over the cameras"] = ["-" if metrics["macro"][m] is None else f"{100 * metrics['macro'][m]:.1f}"
                                          for m in METRICS]
    return _template().render(
        css=Markup((resources.files("pixelplay.visual") / "assets" / "report.css").read_text(encoding="utf-8")),
        heading=f"{count(len(cameras), 'camera')}, {count(sum(e or 0 for e in events.values()), 'event')}"
                + (f", {failed} failed" if failed else ""),
        header=header, total=total, labels=metrics.get("labels", ""), rows=[
            {"name": c.name, "events": "-" if events[c.name] is None else events[c.name], "cells": cells[c.name],
             "words": c.words, "link": quote((c.folder / "report/index.html").relative_to(output).as_posix())
             if c.scored else ""} for c in cameras])


def _events(camera: Camera) -> int | None:
    """Number of events in a camera's report; None without a report."""
    path = camera.folder / "report" / "events.csv"
    return len(pd.read_csv(path)) if camera.scored and path.exists() else None


@functools.cache
def _template() -> jinja2.Template:
    text = (resources.files("pixelplay.visual") / "assets" / "cameras.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True).from_string(text)
