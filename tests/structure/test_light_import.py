"""Nothing heavy is loaded before it is needed; each case in a Python of its own."""

import subprocess
import sys

import pytest

from tests.helpers import ROOT

HEAVY = {
    *("torch", "transformers", "onnxruntime", "tokenizers", "jnius", "pyserini"),
    *("ir_datasets", "ir_measures", "pyarrow", "scipy"),
}


def loaded_by(program: str) -> set[str]:
    """Which of the heavy packages a program has loaded by its end."""
    ending = f"\nimport sys; print('loaded', *({HEAVY} & set(sys.modules)), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", program + ending], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(result.stderr.splitlines()[-1].split()) - {"loaded"}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import splade_lucene; dir(splade_lucene); splade_lucene.SpladeLuceneError") == set()


def test_vectors_quantizer_and_runs_need_nothing_heavy() -> None:
    assert loaded_by("from splade_lucene import Quantizer, TermVectors, read_run, read_vectors, evaluate") == set()


def test_a_query_through_onnx_pays_for_onnx_alone() -> None:
    program = "from splade_lucene import load_encoder; load_encoder('default').encode(['one query'])"
    assert loaded_by(program) == {"onnxruntime", "tokenizers"}


@pytest.mark.jvm
def test_a_search_pays_for_java_alone() -> None:
    assert loaded_by("import splade_lucene.lucene; from splade_lucene import Searcher") == {"jnius"}


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"]])
def test_help_loads_neither_network_nor_java(arguments: list[str]) -> None:
    program = (
        f"import sys; sys.argv = ['splade-lucene', *{arguments}]\n"
        "from splade_lucene.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code"
    )
    assert loaded_by(program) == set()
