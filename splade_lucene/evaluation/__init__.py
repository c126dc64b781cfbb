"""Evaluation: runs and qrels → measures, and whether a difference is one."""
