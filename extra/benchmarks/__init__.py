"""Benchmarks: one small module per table, all run by `python -m extra.benchmarks [NAME ...] [--json FILE]`."""
