"""Actors, backbones, motion, coreset memory banks and their scores."""
