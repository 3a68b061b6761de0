"""Layouts, extraction, manifest and frame access."""
