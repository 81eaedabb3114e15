"""Household loads: real ones read from files, and a small synthetic street.

>>> from hushmeter.loads.synthetic import synthetic_street
>>> load = synthetic_street(homes=3, days=1, seed=7)
>>> load.homes, load.rows, load.row_s
(3, 1440, 60)
"""

from hushmeter.loads.load import MISSING_ROW, Load, meter_rows, write_rows_bin
from hushmeter.loads.reading import read_load

__all__ = ["MISSING_ROW", "Load", "meter_rows", "read_load", "write_rows_bin"]
