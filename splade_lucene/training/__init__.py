"""Training of SPLADE-type encoders: losses, regularizers, teachers, examples, mining, and the trainer over them.

Imports torch and transformers; reaches Lucene only through the `ImpactIndex` and `Searcher` it is given.
"""
