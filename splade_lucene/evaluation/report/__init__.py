"""Reports of an evaluation: one page to look at, and its tables in Markdown, LaTeX and CSV."""

from splade_lucene.evaluation.report.page import write_report

__all__ = ["write_report"]
