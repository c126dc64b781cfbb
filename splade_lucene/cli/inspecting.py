"""The verb that looks inside a model: inspect."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_lucene.cli.choices import (
    INPUT,
    VECTORS,
    ActivationName,
    BinaryQueries,
    Device,
    Json,
    MaxLength,
    PoolingName,
    PrecisionName,
    PresetName,
    SpecialTermsChoice,
    as_preset,
    quantizer_of,
)
from splade_lucene.encoding.options import PRESETS, EncoderOptions, Side

if TYPE_CHECKING:
    from splade_lucene.datasets import Doc, Query
    from splade_lucene.encoding.encoder import TextEncoder
    from splade_lucene.inspection import InspectedText, InspectedVectors, PostingsOf
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.quantization import Quantizer
    from splade_lucene.vectors import EncoderIdentity


def inspect(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A hub name, a local folder, or `default`; give it twice to see two side by side."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="One text: its terms, and which tokens gave them.")] = None,
    input: Annotated[str | None, typer.Option(help=f"Many, counted: {INPUT}.")] = None,
    vectors: Annotated[
        list[Path] | None, typer.Option(help="Vectors that are there, counted: as for `index`; may be given twice.")
    ] = None,
    side: Annotated[Side, typer.Option(help="Which texts of INPUT, and which encoder of the model.")] = "documents",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many texts of INPUT.")] = None,
    index: Annotated[
        Path | None, typer.Option(help="Ask this index how many postings each term costs a query.")
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(show_default="the index's, or 100", help="impact = round(scale * weight)."),
    ] = None,
    terms: Annotated[int, typer.Option(min=1, help="Terms to show.")] = 20,
    as_json: Json = False,
    preset: PresetName = None,
    device: Device = "auto",
    precision: PrecisionName = "auto",
    max_length: MaxLength = None,
    pooling: PoolingName = None,
    activation: ActivationName = None,
    top_terms: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=VECTORS, help="Keep so many terms a text, the heaviest.")
    ] = None,
    special_terms: SpecialTermsChoice = None,
    binary_queries: BinaryQueries = False,
) -> None:
    """Look inside a model: the terms of a text and the tokens that gave them, or counts over many texts."""
    if sum(each is not None for each in (text, input, vectors or None)) != 1:
        raise typer.BadParameter("give one of --text, --input and --vectors")
    if bool(model) == bool(vectors):
        raise typer.BadParameter("--text and --input need --model; --vectors has no use for it")
    if limit is not None and input is None:
        raise typer.BadParameter("--limit is for --input")
    if binary_queries and side == "documents":
        raise typer.BadParameter("--binary-queries is for --side queries")
    from splade_lucene.terminal import out, show_inspected_texts, show_inspected_vectors

    options = EncoderOptions(
        max_length=max_length,
        device=device,
        precision=precision,
        top_terms=top_terms,
        binary_queries=binary_queries,
        pooling=pooling,
        activation=activation,
    )
    looking = _Looking(
        side,
        as_preset(options, preset, side, special_terms),
        scale if scale is not None or preset is None else PRESETS[preset].scale,
        _opened(index) if index is not None else None,
        terms,
    )
    if text is not None:
        texts = [looking.at_text(name, text) for name in model or []]
        if as_json:
            out.print_json(data=[_as_table(each) for each in texts])
        else:
            show_inspected_texts(texts, model or [], most=terms)
        return
    if input is not None:
        names = model or []
        counted = [looking.at_collection(name, input, limit) for name in names]
    else:
        names = [str(each) for each in vectors or []]
        counted = [looking.at_vectors(each) for each in vectors or []]
    if as_json:
        out.print_json(data=[_as_table(each) for each in counted])
    else:
        show_inspected_vectors(counted, names)


def _opened(path: Path) -> "ImpactIndex":
    """The index; without one, no JVM is started."""
    from splade_lucene.lucene.index import ImpactIndex

    return ImpactIndex(path)


@dataclass(frozen=True)
class _Looking:
    """How models are looked at, whichever they are."""

    side: Side
    options: EncoderOptions
    scale: float | None
    index: "ImpactIndex | None"
    terms: int

    def at_text(self, name: str, text: str) -> "InspectedText":
        """What a model makes of one text."""
        from splade_lucene.encoding.inspection import inspect_text

        encoder = self._encoder(name)
        postings_of = self._postings_of(encoder.identity)
        return inspect_text(encoder, text, quantizer=self._quantizer(), postings_of=postings_of)

    def at_collection(self, name: str, input: str, limit: int | None) -> "InspectedVectors":
        """What a model makes of an INPUT, or of its first texts."""
        from splade_lucene.datasets import count_records, read_documents, read_queries
        from splade_lucene.encoding.inspection import inspect_collection
        from splade_lucene.terminal import progress

        encoder = self._encoder(name)
        records: Iterator[Doc | Query] = read_documents(input) if self.side == "documents" else read_queries(input)
        total = count_records(input, self.side)
        with progress(f"encoding {self.side}", total if limit is None or total is None else min(limit, total)) as done:
            return inspect_collection(
                encoder,
                (record.default_text() for record in islice(records, limit)),
                f"{self.side} of {input}" if limit is None else f"the first {limit:,} {self.side} of {input}",
                quantizer=self._quantizer(),
                postings_of=self._postings_of(encoder.identity),
                most_used=self.terms,
                progress=done,
            )

    def at_vectors(self, path: Path) -> "InspectedVectors":
        """What stands in vectors that were encoded before."""
        from splade_lucene.inspection import inspect_vectors
        from splade_lucene.terminal import counted
        from splade_lucene.vector_files import read_vectors
        from splade_lucene.vector_folders import open_vectors

        encoded = open_vectors(path)
        encoder = encoded.encoder if encoded else None
        return inspect_vectors(
            counted(read_vectors(path), "counting", encoded.documents if encoded else None),
            f"vectors of {path}",
            encoder=encoder,
            quantizer=self._quantizer(encoded.scale if encoded else None),
            postings_of=self._postings_of(encoder),
            most_used=self.terms,
        )

    def _encoder(self, name: str) -> "TextEncoder":
        from splade_lucene.encoding.encoder import load_encoder

        return load_encoder(name, side=self.side, options=self.options)

    def _quantizer(self, recorded: float | None = None) -> "Quantizer":
        """Of the scale that was given, that vectors remember, that the index has, or 100."""
        manifest = self.index.manifest if self.index is not None else None
        known = (self.scale, recorded, manifest.scale if manifest else None, 100.0)
        return quantizer_of(next(each for each in known if each is not None))

    def _postings_of(self, encoder: "EncoderIdentity | None") -> "PostingsOf | None":
        """How the index is asked for the postings of an encoder's terms, if there is one."""
        if self.index is None:
            return None
        from splade_lucene.lucene.frequencies import document_frequencies

        if encoder is not None:
            self.index.check_vocabulary(encoder)
        return partial(document_frequencies, self.index)


def _as_table(each: "InspectedText | InspectedVectors") -> dict[str, Any]:
    """An inspection as JSON has it, with what is worked out of a text's terms."""
    from splade_lucene.inspection import InspectedText

    if not isinstance(each, InspectedText):
        return asdict(each)
    parts = [asdict(part) for part in each.token_parts]
    return asdict(each) | {"expected_postings": each.expected_postings, "token_parts": parts}
