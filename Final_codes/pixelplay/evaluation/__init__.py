"""Ground truth and metrics.

Reads: score files, submissions, labels, masks, boxes.
Makes: AP, micro and macro AUC, RBDC and TBDC with intervals; tables and figures of them.
Open: `labels.py` for another form of ground truth; `metrics.py` for frame-level metrics, `regions.py` for RBDC and
    TBDC; `bootstrap.py` for intervals; `report.py` for the table.
"""
