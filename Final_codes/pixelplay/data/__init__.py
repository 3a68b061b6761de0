"""Layouts, extraction, manifest, frame access and the embedded sample."""
