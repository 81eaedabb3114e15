"""What a meter's wires lead to: simulated sensors and inverters, plain Python without an emulator.

A peer has its own truth and its own faults to switch on. ``wires`` connects it to an emulated
board, to a pseudo-terminal, or to a unit test's simulated time.
"""
