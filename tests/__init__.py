"""Tests; a package, so that a library which installs a `tests` of its own is not found instead."""
