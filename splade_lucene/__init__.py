"""Learned sparse retrieval on Lucene, through Pyserini."""

__version__ = "0.1.0"
