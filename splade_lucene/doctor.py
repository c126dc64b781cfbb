"""What this machine has of what the package needs, and how to mend what is missing."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from splade_lucene import __version__
from splade_lucene.errors import SpladeLuceneError
from splade_lucene.lucene import jvm


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, what was found, how to mend it if it is wrong, whether it is needed."""

    what: str
    found: str
    mend: str = ""
    needed: bool = True


def examine(index: Path | None = None) -> list[Finding]:
    """Look at everything, and at every file of an index; nothing is changed and nothing is fetched."""
    return [
        Finding("splade-lucene", f"{__version__}, Python {platform.python_version()} in {sys.prefix}"),
        *_guarded("Java", _java),
        *_guarded("Lucene", _lucene),
        *_guarded("default model", _default_model),
        _package("onnxruntime", _onnx_providers),
        _package("torch", _torch_devices),
        _package("transformers", lambda: ""),
        _hub(),
        *(_guarded("index", lambda: _index(index)) if index is not None else []),
    ]


def _guarded(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except SpladeLuceneError as error:
        yield Finding(what, "does not work", mend=str(error))


def _java() -> Iterator[Finding]:
    java = jvm.running_java()
    module = "" if java.has_vector_module else "; a full JDK's vector module would make search somewhat faster"
    yield Finding("Java", f"{java.version} in {java.home}, named by {java.origin}{module}")
    yield Finding("JVM options", os.environ.get(jvm.OPTIONS_VARIABLE) or f"none; {jvm.OPTIONS_VARIABLE} adds some")


def _lucene() -> Iterator[Finding]:
    found = jvm.versions()
    yield Finding("Lucene", f"{found['lucene']} in {jvm.pyserini_jar().name}")
    yield Finding("heap", f"{jvm.max_heap_gb():.1f} GiB at most; {jvm.OPTIONS_VARIABLE}=-Xmx8g changes it")


def _index(path: Path) -> Iterator[Finding]:
    from splade_lucene.lucene.index import ImpactIndex

    with ImpactIndex(path) as index:
        index.check()
        yield Finding("index", f"{path}: {len(index):,} documents in {index.segments} segments, all files whole")


def _default_model() -> Iterator[Finding]:
    from splade_lucene.encoding.encoder import load_encoder

    encoder = load_encoder("default")
    terms = len(encoder.encode(["how do I read a csv file"]).terms)
    yield Finding("default model", f"{encoder.identity}; a test question got {terms} terms")


def _package(name: str, more: Callable[[], str]) -> Finding:
    try:
        return Finding(name, f"{version(name)} {more()}".strip())
    except (PackageNotFoundError, ImportError, OSError) as error:  # a broken wheel fails while it is loaded
        return Finding(name, f"missing ({error})", mend=f"pip install {name}")


def _onnx_providers() -> str:
    import onnxruntime

    return f"({', '.join(onnxruntime.get_available_providers())})"


def _torch_devices() -> str:
    import torch

    return f"({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "(no GPU)"


def _hub() -> Finding:
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    offline = os.environ.get("HF_HUB_OFFLINE") in ("1", "true", "TRUE")
    return Finding("model hub", f"{'offline, ' if offline else ''}cache in {home}")
