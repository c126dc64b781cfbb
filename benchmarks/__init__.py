"""Speed, measured beside the peers: `python -m benchmarks.index`, `.search`, `.encode`; README.md lists them all.

Only this package measures time; no test asserts one.
"""
