"""Pixel Play: semi-supervised video anomaly detection.

Rooms, in the order data flows through them: data, repair, two_stream | autoencoders, fusion, evaluation,
visual. A later room may import an earlier one, never the other way round.
"""

__version__ = "0.1.0"
