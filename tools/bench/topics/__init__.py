"""One file a topic; each defines ``BENCHMARK``."""

import importlib
import pkgutil

from tools.bench.figures import Benchmark


def all_topics() -> dict[str, Benchmark]:
    """Every topic by name, in the order of the files' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}").BENCHMARK for name in names]
    return {benchmark.name: benchmark for benchmark in found}
