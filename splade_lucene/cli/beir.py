"""The verb that evaluates on whole benchmarks: beir."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splade_lucene.cli.choices import (
    NETWORK,
    ActivationName,
    BinaryQueries,
    Json,
    MaxLength,
    PoolingName,
    PrecisionName,
    PresetName,
    SpecialTermsChoice,
    Threads,
    as_preset,
    listed,
    quantizer_of,
)
from splade_lucene.encoding.options import PRESETS, EncoderOptions, Side

if TYPE_CHECKING:
    from splade_lucene.beir.systems import System
    from splade_lucene.beir.walk import Failure
    from splade_lucene.evaluation.results import Result

SYSTEMS = "What is compared"


def beir(
    datasets: Annotated[
        str,
        typer.Option(
            help="Comma-separated: names (scifact, nfcorpus, …), groups (beir, beir-13, trec-dl, bright, nano-beir), "
            "folders in BEIR layout, ir_datasets ids."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="A folder for vectors, indexes, runs and the report; run again, it goes on.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL",
            rich_help_panel=SYSTEMS,
            help="A hub name, a local folder, or `default`; repeat it for several side by side.",
        ),
    ] = None,
    bm25: Annotated[
        bool, typer.Option("--bm25", rich_help_panel=SYSTEMS, help="BM25 over title and text, by the same Lucene.")
    ] = False,
    hybrid: Annotated[
        bool,
        typer.Option(
            "--hybrid", rich_help_panel=SYSTEMS, help="Each model fused with BM25, by reciprocal ranks; implies --bm25."
        ),
    ] = False,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            rich_help_panel=SYSTEMS,
            help="Runs of another system, dense retrieval say: a folder with one TREC run for each data set, "
            "NAME.trec (.gz); may be repeated.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SYSTEMS, show_default="bm25, where it is there", help="What the others are tested against."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="SPLADE_LUCENE_DATA",
            help="A folder with data sets in BEIR layout, under their names; looked into before ir_datasets.",
        ),
    ] = None,
    measures: Annotated[
        str, typer.Option(help="Comma-separated; the first is the table's.")
    ] = "nDCG@10,R@100,R@1000,RR@10,AP",
    k: Annotated[int, typer.Option(min=1, help="Hits a query.")] = 1000,
    keep: Annotated[
        Literal["all", "indexes", "runs"],
        typer.Option(help="What stays on the disk when a data set is done: all, all but vectors, or runs alone."),
    ] = "all",
    threads: Threads = None,
    as_json: Json = False,
    preset: PresetName = None,
    scale: Annotated[
        float | None,
        typer.Option(show_default="the preset's, or 100", help="impact = round(scale * weight), on both sides."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            rich_help_panel=NETWORK,
            help="auto, cpu, cuda, cuda:1, mps; several (cuda:0,cuda:1) share the work. `auto` takes all GPUs.",
        ),
    ] = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
) -> None:
    """Evaluate on whole benchmarks: encode, index, search, evaluate and report; run again, it goes on.

    A data set that cannot be had is said, and the rest goes on; the exit code is 1 then.
    """
    if not (model or bm25 or run):
        raise typer.BadParameter("nothing to evaluate: give --model, --bm25 or --run")
    if hybrid and not model:
        raise typer.BadParameter("--hybrid is for --model")
    from splade_lucene.beir import registry
    from splade_lucene.beir.systems import Bm25System, GivenRuns, HybridSystem, ModelSystem, Place
    from splade_lucene.beir.walk import Plan, walk
    from splade_lucene.evaluation.report import write_report
    from splade_lucene.terminal import note, out, progress

    place = Place(output, threads or os.cpu_count() or 1, note, progress)
    collections = registry.chosen(listed(datasets), data)
    sides: tuple[Side, Side] = ("documents", "queries")
    options = EncoderOptions(
        max_length=max_length,
        device=device,
        precision=precision,
        pooling=pooling,
        activation=activation,
        binary_queries=binary_queries,
    )
    impact_scale = quantizer_of(scale or (PRESETS[preset].scale if preset else 100.0)).scale
    models = [
        ModelSystem(
            name,
            which,
            place,
            options={side: as_preset(options, preset, side, special_terms) for side in sides},
            scale=impact_scale,
        )
        for name, which in map(_named, model or [])
    ]
    lexical = Bm25System(place)
    systems: list[System] = [
        *([lexical] if bm25 or hybrid else []),
        *models,
        *([HybridSystem(each, lexical, place) for each in models] if hybrid else []),
        *(GivenRuns(*_named_folder(each)) for each in run or []),
    ]
    names = [system.name for system in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        raise typer.BadParameter(
            f"two systems are called {min(twice)!r}: name them, as in --model {min(twice)}-2=MODEL"
        )
    if baseline is not None and baseline not in names:
        raise typer.BadParameter(f"--baseline {baseline} is none of {', '.join(names)}")
    outcome = walk(collections, systems, Plan(tuple(listed(measures)), k, keep), place, data=data)
    page = None
    if outcome.results:
        there = {result.system for result in outcome.results}
        against = baseline if baseline in there else "bm25" if "bm25" in there and len(there) > 1 else None
        inspections = [
            each
            for system in models
            for result in [each for each in outcome.results if each.system == system.name and each.queries][:1]
            for each in system.inspect(result)
        ]
        page = write_report(outcome.results, output, baseline=against, inspections=inspections)
        if not as_json:
            from splade_lucene.terminal import show_results

            show_results(outcome.results, against)
            note(f"the report: {page}")
    if as_json:
        out.print_json(data=_as_json(outcome.results, outcome.failures, page))
    if outcome.failures:
        note(f"{len(outcome.failures)} failed:")
        for failure in outcome.failures:
            note(f"  {failure}")
        raise typer.Exit(1)


def _named(given: str) -> tuple[str, str]:
    """What a model is called, and the model: its own name, for a folder the folder's, or what stands before `=`."""
    if Path(given).is_dir():
        return Path(given).resolve().name, given
    name, equals, model = given.partition("=")
    return (name, model) if equals else (given, given)


def _named_folder(given: str) -> tuple[str, Path]:
    name, _, folder = given.partition("=")
    if not name or not folder or not Path(folder).is_dir():
        raise typer.BadParameter(f"--run {given}: write it as NAME=FOLDER, with a folder that is there")
    return name, Path(folder)


def _as_json(results: "tuple[Result, ...]", failures: "tuple[Failure, ...]", page: Path | None) -> dict[str, Any]:
    """What a program wants: all but the single queries, which are in each result.json."""
    from dataclasses import asdict

    left_out = {"per_query", "queries", "shown"}
    return {
        "results": [
            {name: value for name, value in asdict(result).items() if name not in left_out} for result in results
        ],
        "failed": [asdict(failure) for failure in failures],
        "report": str(page) if page is not None else None,
    }
