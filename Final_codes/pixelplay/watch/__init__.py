"""A camera watched day and night: frames in, events and alarms out.

To be read in this order: `source` (frames of a camera), `scorer` (their scores), `zones` and `scene_check` (what may
count), `journal`, `video` and `recorder` (events that are kept), `outbox` and `alarms` (who is told), `recording` (the
annotated video), `config` (cameras.toml), `camera` (all of it for one camera), `group` (a process a camera), `metrics`
(health), `command` (the command line).
"""
