"""The demo: the whole road on text that is on every machine, the documentation of Python's standard library."""
