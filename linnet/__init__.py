"""Linnet: from labelled images to a champion model that came through its canary."""

__version__ = "0.1.0"
