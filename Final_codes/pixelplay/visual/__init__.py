"""Figures, annotated video and the report.

Reads: the output folder of a run (`run_folder.py`).
Makes: matplotlib figures, annotated clips, the report's folder.
Open: `plots.py` for the figures by name; `style.py` for colours and sizes; `timeline.py` for score timelines;
    `report.py`, `report_page.py` and `assets/` for the report; `annotate.py` for drawing on frames.
"""
