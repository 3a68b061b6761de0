"""Continuous live scoring of cameras, with events and alarms.

Reads: a camera, a stream or a file, and a `Detector`.
Makes: event clips with pictures and descriptions, `events.jsonl`, alarms, health and metrics.
Open: `source.py` for cameras and streams; `scorer.py` for live scores, `paces.py` for the reduction of work on slow
    machines; `zones.py` and `scene_check.py` for the frames that may raise events; `recorder.py` and `journal.py` for
    clips and event logs; `alarms.py` for receivers of alarms; `config.py` for cameras.toml; `camera.py` for the loop
    over frames.
"""
