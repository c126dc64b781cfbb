"""Speed, measured beside the peers in the same process: `python -m benchmarks.index`, `python -m benchmarks.search`.

Only this package measures time; no test asserts one.
"""
