"""Figures, annotated video and report."""
