"""The verbs that write an index: index, append, update, delete, merge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splade_lucene.cli.choices import (
    INPUT,
    PRUNING,
    Index,
    MoreTexts,
    SameScale,
    Threads,
    Vectors,
    lines,
    listed,
    quantizer_of,
)

if TYPE_CHECKING:
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.pruning import Pruning
    from splade_lucene.vectors import TermVectors


def index(
    vectors: Vectors,
    index: Index,
    scale: Annotated[
        float | None,
        typer.Option(
            show_default="the preset's, or 100",
            help="impact = round(scale * weight); 1 if the weights are impacts already.",
        ),
    ] = None,
    form: Annotated[
        Literal["impacts", "repeat"],
        typer.Option(help="The same postings either way; `repeat` goes through Anserini."),
    ] = "impacts",
    texts: Annotated[str | None, typer.Option(help=f"Store the texts beside the postings: {INPUT}.")] = None,
    store: Annotated[
        str,
        typer.Option(help="What of the texts: `raw`, title and text in one, or fields, which can be filtered on then."),
    ] = "raw",
    bm25: Annotated[
        bool, typer.Option("--bm25", help="Index the texts for BM25, too, in a field of their own.")
    ] = False,
    threads: Threads = None,
    merge: Annotated[bool, typer.Option(help="Into one segment, which searches fastest.")] = True,
    reorder: Annotated[
        bool,
        typer.Option("--reorder", help="New internal numbers, so that neighbours share terms: the same hits, faster."),
    ] = False,
    blocks: Annotated[
        bool, typer.Option(help="Write files beside the postings that make searches several times as fast.")
    ] = True,
    first_pass_doc_terms: Annotated[
        int,
        typer.Option(
            min=0, help="Keep so many terms a document apart in these, for `search --first-pass-terms`; 0: none."
        ),
    ] = 128,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index that is there, once this one is whole.")
    ] = False,
    top_terms: Annotated[
        int | None,
        typer.Option(min=1, rich_help_panel=PRUNING, help="Keep so many terms a document, those of largest impact."),
    ] = None,
    term_quantile: Annotated[
        float | None,
        typer.Option(
            metavar="Q", rich_help_panel=PRUNING, help="Of each term's impacts keep those above this quantile."
        ),
    ] = None,
    min_impact: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=PRUNING, help="Keep the impacts of at least so much.")
    ] = None,
) -> None:
    """Write vectors as a Lucene impact index that Pyserini and Anserini can search too."""
    from splade_lucene.datasets import read_fields
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.terminal import counted, note
    from splade_lucene.vector_files import read_vectors
    from splade_lucene.vector_folders import open_vectors

    fields = tuple(listed(store))
    if texts is None and (bm25 or fields != ("raw",)):
        raise typer.BadParameter("--store and --bm25 are for --texts")
    if term_quantile is not None and vectors.exists() and not (vectors.is_file() or vectors.is_dir()):
        raise typer.BadParameter(f"--term-quantile reads the vectors twice, and {vectors} can be read once")
    pruning = _pruning(top_terms, term_quantile, min_impact)
    encoded = open_vectors(vectors)
    passages = encoded.passages if encoded else None
    options: dict[str, Any] = {"threads": threads} if threads else {}
    if scale is None:
        scale = encoded.scale if encoded and encoded.scale else 100
    total = encoded.documents if encoded else None
    built = ImpactIndex.build(
        index,
        _ReadAnew(lambda: counted(encoded.read() if encoded else read_vectors(vectors), "indexing", total)),
        _index_options(
            quantizer=quantizer_of(scale),
            form=form,
            reorder=reorder,
            blocks=blocks,
            first_pass_doc_terms=first_pass_doc_terms,
            merge=merge,
            overwrite=overwrite,
            pruning=pruning,
            store=fields,
            bm25=bm25,
            **options,
        ),
        encoder=encoded.encoder if encoded else None,
        texts=read_fields(texts, set(fields) - {"raw"}, passages) if texts is not None else None,
        passages=passages,
    )
    assert built.manifest is not None
    note(
        f"{built.manifest.dropped_weights:,} weights rounded to 0, "
        f"{built.manifest.empty_documents:,} documents without a posting"
    )
    if pruning:
        note(
            f"kept {pruning}: {built.manifest.pruned_postings:,} postings less; "
            f"{built.manifest.emptied_documents:,} documents lost all of theirs"
        )
    if built.manifest.unaskable_terms:
        note(
            f"{built.manifest.unaskable_terms:,} terms hold white space or are too long for Pyserini's analyzer, which "
            "cannot search them; splade-lucene can"
        )
    if passages:
        note(f"passages of {passages}; `search` finds documents by their best one")
    _say_size(built)


def append(
    index: Index, vectors: Vectors, scale: SameScale = None, texts: MoreTexts = None, threads: Threads = None
) -> None:
    """Add documents to an index; one that it has already is an error."""
    _change(index, vectors, scale, texts, threads, replacing=False)


def update(
    index: Index, vectors: Vectors, scale: SameScale = None, texts: MoreTexts = None, threads: Threads = None
) -> None:
    """Put documents in the place of those of the same doc_id; new ones are added."""
    _change(index, vectors, scale, texts, threads, replacing=True)


def delete(
    index: Index,
    ids: Annotated[str | None, typer.Option(help="doc_ids, comma-separated.")] = None,
    ids_file: Annotated[Path | None, typer.Option(help="A file of doc_ids, one a line.")] = None,
) -> None:
    """Remove documents from an index, with all their passages."""
    if (ids is None) == (ids_file is None):
        raise typer.BadParameter("give one of --ids and --ids-file")
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.terminal import note

    given = listed(ids) if ids is not None else lines(ids_file) if ids_file is not None else []
    with ImpactIndex.writer(index) as writer:
        deleted = writer.delete(given)
    if deleted < len(set(given)):
        note(f"{len(set(given)) - deleted:,} of the {len(set(given)):,} doc_ids are not in the index")
    typer.echo(f"{index}: {deleted:,} documents deleted, {writer.manifest.documents:,} left")


def merge(
    index: Index,
    segments: Annotated[int, typer.Option(min=1, help="How many there may be afterwards.")] = 1,
    reorder: Annotated[
        bool, typer.Option("--reorder", help="Into one, whose documents get new internal numbers, as `index` does it.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Merge the segments of an index, which many changes leave, and drop what was deleted: it searches faster then."""
    from splade_lucene.lucene.index import ImpactIndex

    with ImpactIndex.writer(index, threads=threads) as writer:
        writer.merge(segments, reorder=reorder)
    with ImpactIndex(index) as merged:
        _say_size(merged)


def _change(
    index: Path, vectors: Path, scale: float | None, texts: str | None, threads: int | None, *, replacing: bool
) -> None:
    """Append or update."""
    from splade_lucene.datasets import read_fields
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.terminal import counted, note
    from splade_lucene.vector_files import read_vectors
    from splade_lucene.vector_folders import open_vectors

    encoded = open_vectors(vectors)
    passages = encoded.passages if encoded else None
    if scale is None and encoded:
        scale = encoded.scale
    with ImpactIndex.writer(
        index,
        encoder=encoded.encoder if encoded else None,
        quantizer=None if scale is None else quantizer_of(scale),
        passages=passages,
        threads=threads,
    ) as writer:
        before = writer.manifest
        if encoded and before.encoder and before.encoder != encoded.encoder:
            note(f"the index was built by {before.encoder}, these vectors are by {encoded.encoder}")
        given = counted(
            encoded.read() if encoded else read_vectors(vectors),
            "updating" if replacing else "appending",
            encoded.documents if encoded else None,
        )
        stored = read_fields(texts, set(before.stored or ()) - {"raw"}, passages) if texts is not None else None
        (writer.update if replacing else writer.append)(given, stored)
    note(f"{writer.manifest.dropped_weights - before.dropped_weights:,} weights rounded to 0")
    with ImpactIndex(index) as changed:
        _say_size(changed)


def _say_size(index: "ImpactIndex") -> None:
    assert index.manifest is not None
    typer.echo(
        f"{index.path}: {len(index):,} documents, {index.manifest.postings:,} postings, {index.segments} segments"
    )


def _index_options(**options: Any) -> "IndexOptions":
    from splade_lucene.lucene.build import IndexOptions

    try:
        return IndexOptions(**options)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _pruning(top_terms: int | None, term_quantile: float | None, min_impact: int | None) -> "Pruning":
    from splade_lucene.pruning import Pruning

    try:
        return Pruning(top_terms, term_quantile, min_impact)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@dataclass(frozen=True)
class _ReadAnew:
    """Batches that are read from their files each time they are iterated, as pruning by quantiles wants them."""

    read: Callable[[], Iterator["TermVectors"]]

    def __iter__(self) -> Iterator["TermVectors"]:
        return self.read()
