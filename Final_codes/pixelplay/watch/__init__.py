"""A camera watched day and night: frames in, events and alarms out.

Reads: a camera, a stream or a file, and a `Detector`.
Makes: event clips with pictures and descriptions, `events.jsonl`, alarms, health and metrics.
Open: `source.py` for cameras and streams; `scorer.py` for live scores, `paces.py` for what is left out where a machine
    is slow; `zones.py` and `scene_check.py` for what may count; `recorder.py` and `journal.py` for what is kept;
    `alarms.py` for who is told; `config.py` for cameras.toml; `camera.py` for how it all runs together.
"""
