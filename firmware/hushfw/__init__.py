"""The device package: everything that runs on a meter."""

__version__ = "0.1.0"
