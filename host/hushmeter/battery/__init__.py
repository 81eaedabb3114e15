"""Batteries on the host: what a controller's grid draw gives away, and to whom."""
