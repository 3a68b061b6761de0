"""A camera watched day and night: frames in, events and alarms out.

To be read in this order: `source` (frames of a camera), `scorer` (their scores), `video` (the annotated recording),
`command` (the command line).
"""
