"""Orientation, noise, gaps and frozen frames, reliability."""
