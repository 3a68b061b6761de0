"""Screenshots of the report in a real browser, through Playwright for Python and Chromium if installed.

Reads report/index.html; makes RGB arrays. Needed for the gallery only, not for a run.
"""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")
SIZES = {"desktop": (1280, 1600), "phone": (390, 1400)}


def report_pictures(index: Path) -> dict[str, np.ndarray]:
    """'desktop' and 'phone' -> (H, W, 3) uint8 of the first screen of the page; {} without a browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser = None
    if browser is None:
        log.info("no picture of the report: it needs Chromium and `pip install playwright`")
        return {}
    out = {}
    with sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=browser, args=list(FLAGS))
        for name, (width, height) in SIZES.items():
            tab = chromium.new_page(viewport={"width": width, "height": height})
            tab.goto(index.resolve().as_uri())
            tab.wait_for_load_state("networkidle")
            out[name] = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
        chromium.close()
    return out
