"""The verbs that make training examples: examples, mine."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splade_lucene.cli.choices import INPUT, Device, MaxLength, PrecisionName, Threads
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from splade_lucene.runs import Hits, Run
    from splade_lucene.training.examples import TrainingExamples

MINERS, LEFT_OUT = "Who finds them", "What is left out"
QUERIES_AT_A_TIME = 1000  # for the progress that a person sees

Output = Annotated[Path, typer.Option(help="The file of examples, .parquet.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
Relevance = Annotated[int, typer.Option(help="Of qrels: from where on a document is a positive.")]


def examples(
    input: Annotated[str, typer.Option(help="The file; for qrels an ir_datasets id or a folder in BEIR layout, too.")],
    format: Annotated[
        Literal["qrels", "triples", "text-triples", "scored-triples", "hard-negatives", "jsonl", "parquet"],
        typer.Option(help="What it is; `jsonl` are your own lines, `parquet` is what was made before."),
    ],
    output: Output,
    relevance: Relevance = 1,
    scores: Annotated[
        Path | None, typer.Option(help="Of hard-negatives: the pickle of scores that belongs to them.")
    ] = None,
    teacher: Annotated[str, typer.Option(help="What the scores are called.")] = "teacher",
    texts: Annotated[
        Path | None, typer.Option(help="Of texts in the place of ids: a folder for corpus.jsonl and queries.jsonl.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Leave out negatives that the teacher scores less than this below a positive."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Read training examples: judgments, published files, or your own."""
    from splade_lucene.terminal import progress
    from splade_lucene.training.mining import with_margin
    from splade_lucene.training.readers import read_examples

    written = [output, *([texts / "corpus.jsonl", texts / "queries.jsonl"] if texts else [])]
    _check_free(written, overwrite)
    with progress("reading"):
        found, counts = read_examples(input, format, relevance=relevance, scores=scores, teacher=teacher, texts=texts)
        if margin is not None:
            found, without = with_margin(found, teacher, margin)
            counts += without
    found.write(output)
    _report(found, counts, output)


def mine(
    output: Output,
    qrels: Annotated[
        str | None, typer.Option(help="What answers the queries: TREC or BEIR qrels, a BEIR folder, an ir_datasets id.")
    ] = None,
    relevance: Relevance = 1,
    positives: Annotated[
        Path | None, typer.Option(help="Instead of --qrels: examples, whose negatives are not looked at.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(rich_help_panel=MINERS, help="An index, with --model, --bm25 or both.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(rich_help_panel=MINERS, help="What encodes the queries: hub name, folder, `default`.")
    ] = None,
    bm25: Annotated[
        bool, typer.Option("--bm25", rich_help_panel=MINERS, help="BM25 over the index's texts (`index --bm25`).")
    ] = False,
    queries: Annotated[
        str | None, typer.Option(rich_help_panel=MINERS, help=f"The queries' texts, for the index: {INPUT}.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            rich_help_panel=MINERS,
            help="A TREC run of whatever has searched; may be repeated.",
        ),
    ] = None,
    ranks: Annotated[
        str, typer.Option(metavar="FIRST-LAST", help="From which hits of each miner negatives are chosen, by chance.")
    ] = "10-100",
    negatives: Annotated[int, typer.Option(min=1, help="So many a query at most; miners take turns.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Of chance.")] = 0,
    documents: Annotated[
        str | None,
        typer.Option(rich_help_panel=LEFT_OUT, help=f"Texts, to leave out hits with a positive's words: {INPUT}."),
    ] = None,
    jaccard: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, rich_help_panel=LEFT_OUT, help="And hits that share so large a part of their words with one."
        ),
    ] = None,
    consistent: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=LEFT_OUT, help="Positives that no miner finds among its first so many; 10 is usual."
        ),
    ] = None,
    at_least: Annotated[int, typer.Option(min=0, rich_help_panel=LEFT_OUT, help="Queries with fewer negatives.")] = 1,
    threads: Threads = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
) -> None:
    """Mine hard negatives: documents that a search finds for a query, and that do not answer it."""
    if (qrels is None) == (positives is None):
        raise typer.BadParameter("give one of --qrels and --positives")
    if index is None and not run:
        raise typer.BadParameter("nobody to find them: give --index or --run")
    if (index is None) == (model is not None or bm25) or (index is None) != (queries is None):
        raise typer.BadParameter("--index goes with --queries, and with --model, --bm25 or both")
    if jaccard is not None and documents is None:
        raise typer.BadParameter("--jaccard is for --documents")
    from splade_lucene.datasets import read_documents
    from splade_lucene.terminal import progress
    from splade_lucene.training.examples import TextStore, TrainingExamples
    from splade_lucene.training.mining import Mining
    from splade_lucene.training.mining import mine as mined
    from splade_lucene.training.readers import read_examples

    _check_free([output], overwrite)
    try:
        first, last = (int(rank) for rank in ranks.split("-"))
        options = Mining(negatives, (first, last), consistent, jaccard, at_least, seed)
    except ValueError as error:
        raise typer.BadParameter(f"--ranks {ranks}, --negatives, --at-least: {error}") from error
    before: Counter[str] = Counter()
    if positives is not None:
        given = TrainingExamples.read(positives)
    else:
        given, before = read_examples(str(qrels), "qrels", relevance=relevance)
    answers = {example.query_id: example.positives for example in given}
    miners = _given_runs(run or [], answers, options.depth)
    if index is not None:
        names = {_name(model)} if model else set()
        if twice := (names | {"bm25"} if bm25 else names) & miners.keys():
            raise typer.BadParameter(f"two miners are called {min(twice)}; give the run another name")
        asked = _texts_of(str(queries), answers)
        network = EncoderOptions(max_length=max_length, device=device, precision=precision)
        miners = _searched(index, model, network, asked, options.depth, bm25=bm25, threads=threads) | miners
    texts = None
    if documents is not None:
        wanted = {doc_id for by_query in miners.values() for hits in by_query.values() for doc_id in hits.doc_ids}
        with progress("reading texts"):
            texts = TextStore(read_documents(documents), "document", wanted.union(*answers.values()))
    with progress("mining"):
        made, counts = mined(answers, miners, options, texts=texts)
    made.write(output)
    _report(made, before + counts, output)


def _check_free(files: list[Path], overwrite: bool) -> None:
    for file in files:
        if file.exists() and not overwrite:
            raise ConfigError(f"{file} is there already; say --overwrite to replace it, or name another file")


def _given_runs(given: list[str], queries: "Collection[str]", depth: int) -> "dict[str, Run]":
    """The runs of NAME=FILE, as far as they are looked at."""
    from splade_lucene.runs import read_run

    runs: dict[str, Run] = {}
    for each in given:
        name, _, file = each.partition("=")
        if not name or not file or name in runs:
            raise typer.BadParameter(f"--run {each}: write it as NAME=FILE, each with another name")
        found = read_run(Path(file))
        runs[name] = {query_id: hits[:depth] for query_id, hits in found.items() if query_id in queries}
    return runs


def _name(model: str) -> str:
    """What a miner is called: as its model, for a folder the folder's own name."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _texts_of(queries: str, wanted: "Collection[str]") -> dict[str, str]:
    """The texts of the queries that have positives."""
    from splade_lucene.datasets import read_queries
    from splade_lucene.training.readers import within_folder

    source = within_folder(queries, "queries.jsonl")
    texts = {query.query_id: query.text for query in read_queries(source) if query.query_id in wanted}
    if missing := [query_id for query_id in wanted if query_id not in texts]:
        raise ConfigError(
            f"{source} lacks {len(missing):,} of the {len(wanted):,} queries with positives, {missing[0]!r} for one"
        )
    return texts


def _searched(
    index: Path,
    model: str | None,
    network: EncoderOptions,
    queries: dict[str, str],
    depth: int,
    *,
    bm25: bool,
    threads: int | None,
) -> "dict[str, dict[str, Hits]]":
    """What the index finds by the model, by BM25, or by each of them."""
    from itertools import batched

    from splade_lucene.encoding.encoder import load_encoder
    from splade_lucene.lucene.searcher import Searcher
    from splade_lucene.terminal import progress

    encoder = load_encoder(model, side="queries", options=network) if model else None
    searcher = Searcher(index, encoder)
    searches = {}
    if model:
        searches[_name(model)] = searcher.search_texts
    if bm25:
        searches["bm25"] = searcher.search_bm25
    found: dict[str, dict[str, Hits]] = {name: {} for name in searches}
    ids: dict[str, str] = {}  # each held once, as documents are found for many queries
    with progress("searching", len(queries)) as advance:
        for some in batched(queries.items(), QUERIES_AT_A_TIME):
            for name, search in searches.items():
                for query_id, hits in search(dict(some), depth, threads=threads).items():
                    hits.doc_ids = [ids.setdefault(doc_id, doc_id) for doc_id in hits.doc_ids]
                    found[name][query_id] = hits
            advance(len(some))
    return found


def _report(made: "TrainingExamples", counts: "Mapping[str, int]", output: Path) -> None:
    """What there is, on stdout; what was left out, on stderr."""
    import pyarrow.compute as pc

    from splade_lucene.terminal import note, out

    positives, negatives = (pc.list_value_length(made.table[name]) for name in ("positives", "negatives"))
    each = f", {pc.min(negatives)} to {pc.max(negatives)} a query" if pc.sum(negatives).as_py() else ""
    out.print(
        f"{output}: {len(made):,} queries, {pc.sum(positives).as_py():,} positives, "
        f"{pc.sum(negatives).as_py():,} negatives{each}",
        soft_wrap=True,
    )
    for what, count in counts.items():
        note(f"{count:,} {what}")
