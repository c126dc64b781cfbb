"""What asking costs: each query alone, all of them together, and the machine on which that was measured.

Law: what is timed has been done before, untimed, so that no figure holds what the first query pays for all.
"""

import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from splade_lucene import __version__
from splade_lucene.beir.engines import Engine
from splade_lucene.evaluation.results import Cost, Latency
from splade_lucene.lucene import jvm
from splade_lucene.runs import Hits

TIMED_ALONE = 300  # queries; of more, every n-th
WARMING = 20


def search_and_measure(
    engine: Engine, queries: Mapping[str, str], k: int, threads: int
) -> tuple[dict[str, Hits], Cost]:
    """The run of all queries, and what it cost: a sample of them alone first, then all in one call."""
    ids = list(queries)
    sample = [ids[at] for at in np.linspace(0, len(ids) - 1, min(len(ids), TIMED_ALONE)).round().astype(int)]
    for query_id in sample[:WARMING]:
        engine.search(engine.prepare({query_id: queries[query_id]}), k, threads)
    encoding, searching = [], []
    for query_id in sample:
        started = time.perf_counter()
        prepared = engine.prepare({query_id: queries[query_id]})
        encoded = time.perf_counter()
        engine.search(prepared, k, threads)
        searching.append(time.perf_counter() - encoded)
        encoding.append(encoded - started)
    started = time.perf_counter()
    prepared = engine.prepare(queries)
    run = engine.search(prepared, k, threads)
    seconds = time.perf_counter() - started
    built = engine.built
    terms, postings = engine.demand(prepared)
    return run, Cost(
        documents=built.documents,
        queries=len(queries),
        encode_seconds=built.encode_seconds,
        cut_documents=built.cut_documents,
        index_seconds=built.index_seconds,
        index_bytes=built.index_bytes,
        postings_per_document=built.postings / built.documents,
        terms_per_query=terms,
        expected_postings=postings,
        query_encoding=Latency.of(encoding) if engine.encodes else None,
        search=Latency.of(searching),
        queries_per_second=len(queries) / seconds,
        threads=threads,
    )


def machine() -> dict[str, str]:
    """What figures of time depend on; nothing that names the machine or its user."""
    found = {
        "cpu": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version for name, version in jvm.versions().items() if name != "anserini"},
        "splade_lucene": __version__,
    }
    torch = sys.modules.get("torch")  # where a network runs on a GPU, it is there
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    """Its name; Linux has it in a file, other systems tell Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
