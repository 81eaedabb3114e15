"""Hushmeter's host package: aggregation, emulation and study of private smart meters."""

from hushfw import __version__

__all__ = ["__version__"]
