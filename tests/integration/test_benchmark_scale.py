"""The scale benchmark on small collections: every size and k has its row, every column its figure."""

from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.collection import synthetic
from splade_lucene.lucene import jvm
from splade_lucene.vector_files import read_vectors

pytestmark = pytest.mark.jvm

ARGUMENTS = Namespace(k="10,100", threads="1,2", repeats=1, reorder=True, heap="256m")
COSTS = {"build s", "build CPU s", "bytes a posting", "beside it", "build heap MB", "search heap MB", "after GC"}


def test_each_order_and_k_has_a_row_and_each_index_its_costs(tmp_path: Path) -> None:
    rows = scale.measure(synthetic(500, 3), ARGUMENTS, tmp_path)
    assert [(row["documents"], row["k"]) for row in rows] == [
        ("500", 10),
        ("500", 100),
        ("500, reordered", 10),
        ("500, reordered", 100),
    ]
    for row in rows:
        speeds = [row[name] for name in ("p50", "p95", "p99", "queries/s 1", "queries/s 2")]
        assert all(isinstance(value, float) and value > 0 for value in speeds)
        assert speeds[:3] == sorted(speeds[:3], key=float)  # type: ignore[arg-type]
    for first, second in (rows[:2], rows[2:]):
        assert first.keys() == second.keys() >= COSTS
        assert all(isinstance(first[name], float) and second[name] is None for name in COSTS)
        assert float(first["after GC"] or 0) <= float(first["search heap MB"] or 0) < 256 * 2**20 / 1e6
        assert 1 < float(first["bytes a posting"] or 0) < 10


def test_a_heap_too_small_ends_it_and_says_what_failed(tmp_path: Path) -> None:
    small = Namespace(**{**vars(ARGUMENTS), "heap": "1k"})
    with pytest.raises(SystemExit, match=r"to build .*vectors failed \(exit 1\)"):
        scale.measure(synthetic(50, 1), small, tmp_path)


def test_documents_lie_on_disk_as_encode_leaves_them(tmp_path: Path) -> None:
    drawn = synthetic(6_000, 0)
    assert scale.write_vectors(tmp_path / "vectors", drawn.documents) == 6_000
    for batch, read in zip(drawn.documents, read_vectors(tmp_path / "vectors"), strict=True):
        assert list(read.ids) == batch.ids
        assert (read.weights == batch.impacts).all() and (read.terms == batch.terms).all()


def test_files_of_real_documents_have_no_other_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.scale", "--vectors", "docs.jsonl", "--query-vectors", "queries.tsv"])
    with pytest.raises(SystemExit, match="give --like"):
        scale.main()


def test_the_heap_of_a_process_is_added_to_the_options_that_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(jvm.OPTIONS_VARIABLE, "-XX:+NoSuchOption")
    with pytest.raises(SystemExit, match="failed"):
        scale.measure(synthetic(50, 1), ARGUMENTS, tmp_path)
