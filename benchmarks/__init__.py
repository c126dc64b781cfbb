"""Speed, measured beside the peers: `python -m benchmarks.index`, `.search`, `.encode`; what they need: `.encode_memory`.

Only this package measures time; no test asserts one.
"""
