"""Encoding: texts → term weights. This room knows torch, transformers and onnxruntime, and never the JVM."""
