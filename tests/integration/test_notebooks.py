"""The notebooks: short, of public names alone, without a trace of the machine that ran them, and they run."""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import splade_lucene
from tests.helpers import ROOT
from tools.notebooks import cleaned, run

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_CELLS = 24
MOST_BYTES = 200_000
DEMO = {"splade_lucene.demo.stdlib": {"stdlib_documents"}, "splade_lucene.demo.tour": {"judgments", "questions"}}
PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|usr|var|work|Users|private|opt)/|[A-Z]:\\|site-packages")

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def sources(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_they_are_numbered() -> None:
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in range(1, 1 + len(NOTEBOOKS))]
    assert NOTEBOOKS


@every_notebook
def test_one_is_a_short_lesson(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= MOST_CELLS
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith(f"# {int(path.name[:2])} · ")
    assert "you will" in notebook.cells[0].source.lower()
    assert path.stat().st_size < MOST_BYTES


@every_notebook
def test_only_public_names_are_imported(path: Path) -> None:
    for node in ast.walk(ast.parse("\n".join(sources(read(path))))):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("splade_lucene") for alias in node.names), "name what is imported"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("splade_lucene"):
            public = DEMO.get(str(node.module), set())
            public = set(splade_lucene.__all__) if node.module == "splade_lucene" else public
            assert {alias.name for alias in node.names} <= public
        elif isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")


@every_notebook
def test_its_outputs_are_there_and_tell_nothing_of_a_machine(path: Path) -> None:
    notebook = read(path)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert not any(output.output_type == "error" for output in outputs)
    texts = [output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert not any(PATH.search(text) for text in [*texts, *sources(notebook)])
    assert notebook == cleaned(read(path)), "python -m tools.notebooks"


@pytest.mark.slow
@pytest.mark.jvm
@every_notebook
def test_it_runs_from_top_to_bottom(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    kept = read(path)
    found = run(read(path))
    for ours, theirs in zip(kept.cells, found.cells, strict=True):
        assert [output.output_type for output in theirs.get("outputs", [])] == [
            output.output_type for output in ours.get("outputs", [])
        ], ours.source
