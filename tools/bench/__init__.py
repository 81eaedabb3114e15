"""Benchmarks of the host: ``python -m tools.bench`` runs every topic beside its peers.

A topic is one file in :mod:`tools.bench.topics` that defines ``BENCHMARK``; nothing else has to be
told of it. It yields figures (:class:`tools.bench.figures.Figure`), and a case that does not fit
or has no peer installed as :class:`tools.bench.figures.Skipped`, with the reason.
"""
