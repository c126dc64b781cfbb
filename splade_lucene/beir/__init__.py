"""Benchmarks by name: BEIR and its like from texts to measures, each step done once."""
