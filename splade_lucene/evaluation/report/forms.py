"""The tables as Markdown, LaTeX and CSV.

Laws: Markdown and LaTeX have the same entries as the page; the CSV has the numbers that these are rounded from, and
reading it gives them back exactly.
"""

import csv
import io
import json
import re
from collections.abc import Mapping

from splade_lucene.evaluation.report.grids import (
    Entry,
    Grid,
    costs_grid,
    differences_grid,
    published_grid,
    quality_grid,
)
from splade_lucene.evaluation.report.tables import COSTS, Tables

_LATEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "−": "$-$",
    "·": r"\quad ",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
}


def grids(tables: Tables) -> list[Grid]:
    """All tables of a report, in its order; those that would be empty are left out."""
    found = [grid for quality in tables.qualities for grid in (quality_grid(tables, quality),)]
    found += [grid for quality in tables.qualities if (grid := differences_grid(tables, quality))]
    found += [grid for grid in (published_grid(tables), costs_grid(tables)) if grid]
    return [grid for grid in found if grid.rows]


def markdown(tables: Tables, title: str, told: str) -> str:
    """A heading, what was run, and every table as a pipe table; the best values are bold."""
    blocks = [f"# {_markdown_text(title)}", _markdown_text(told)]
    for grid in grids(tables):
        head = " | ".join(map(_markdown_text, grid.header))
        rule = " | ".join("---" if place < grid.words else "---:" for place in range(len(grid.header)))
        rows = [" | ".join(map(_markdown_entry, row)) for row in grid.rows]
        blocks.append(f"## {_markdown_text(grid.title)}")
        blocks.append("\n".join(f"| {line} |" for line in (head, rule, *rows)))
        blocks += map(_markdown_text, grid.notes)
    return "\n\n".join(blocks) + "\n"


def _markdown_entry(entry: Entry) -> str:
    text = _markdown_text(entry.text)
    text = f"**{text}**{entry.mark}" if entry.best else f"{text}{entry.mark}"
    return f"{text} ({_markdown_text(entry.beside)})" if entry.beside else text


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|<>#~])", r"\\\1", " ".join(text.split()))


def latex(tables: Tables, told: str) -> str:
    r"""Every table as a `table` for `\input`; it asks for booktabs and nothing else, the best values are bold."""
    lines = [f"% {' '.join(told.split())}", r"% \usepackage{booktabs}"]
    for grid in grids(tables):
        notes = " ".join(map(_latex_text, grid.notes))
        lines += [
            "",
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{_latex_text(grid.title)}.{' ' + notes if notes else ''}}}",
            rf"\begin{{tabular}}{{@{{}}{'l' * grid.words}{'r' * (len(grid.header) - grid.words)}@{{}}}}",
            r"\toprule",
            " & ".join(map(_latex_text, grid.header)) + r" \\",
            r"\midrule",
        ]
        lines += [" & ".join(map(_latex_entry, row)) + r" \\" for row in grid.rows]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_entry(entry: Entry) -> str:
    text = _latex_text(entry.text)
    text = rf"\textbf{{{text}}}" if entry.best else text
    beside = rf" {{\scriptsize({_latex_text(entry.beside)})}}" if entry.beside else ""
    # The brace keeps LaTeX from reading a "[" at the start of a row as the option of the \\ before it.
    return (
        f"{{}}{text}{_latex_text(entry.mark)}{beside}"
        if text.startswith("[")
        else f"{text}{_latex_text(entry.mark)}{beside}"
    )


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))


FIELDS = (
    *("collection", "part", "system", "measure", "value", "baseline", "difference", "interval_low", "interval_high"),
    *("randomization_p", "t_test_p", "holm_p", "effect_size", "better_queries", "worse_queries", "equal_queries"),
    *("published", "published_status", "published_note", "published_source"),
    *("queries", "missing_queries", "unjudged_queries", "settings"),
    *(quantity.name for quantity in COSTS),
)


def comma_separated(tables: Tables) -> str:
    """One row for each collection, system and measure, with its costs; numbers in full, what is unknown empty.

    holm_p: randomization_p, adjusted over the collections.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for quality in tables.qualities:
        for row in quality.rows:
            for column, cell in zip(tables.columns, row.cells, strict=True):
                if cell is None:
                    continue
                result = tables.by_place[row.collection, column.number]
                record: dict[str, object] = {
                    "collection": row.collection,
                    "part": int(row.part),
                    "system": column.label,
                    "measure": quality.measure,
                    "value": cell.value,
                    "baseline": tables.baseline.label if tables.baseline else None,
                    "queries": len(result.queries),
                    "missing_queries": result.missing_queries,
                    "unjudged_queries": result.unjudged_queries,
                    "settings": json.dumps(dict(result.settings), ensure_ascii=False, default=str),
                }
                if (each := cell.comparison) is not None:
                    record |= {
                        "difference": each.difference,
                        "interval_low": each.low,
                        "interval_high": each.high,
                        "randomization_p": each.randomization_p,
                        "t_test_p": each.t_test_p,
                        "holm_p": cell.p_value,
                        "effect_size": each.effect_size,
                        "better_queries": each.better_queries,
                        "worse_queries": each.worse_queries,
                        "equal_queries": each.equal_queries,
                    }
                if cell.verdicts:
                    verdict = cell.verdicts[0]
                    record |= {
                        "published": verdict.published,
                        "published_status": verdict.status,
                        "published_note": verdict.note,
                        "published_source": verdict.source,
                    }
                if result.cost is not None:
                    record |= {quantity.name: quantity.of(result.cost) for quantity in COSTS}
                writer.writerow(record)
    return text.getvalue()
