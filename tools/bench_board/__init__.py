"""Figures of the firmware on a board that is not there: ``python -m tools.bench_board``.

On the emulated Pico times are simulated, so they do not depend on this machine; on the unix port
they are wall time and say what an emulated street costs here. Nothing ran on silicon. What a meter
refused, or had no memory for, is a result like any other: it is shown and kept.
"""
