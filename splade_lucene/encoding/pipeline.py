"""Encoding a collection: streamed, sharded, resumable.

Laws: at most one shard of texts is in memory; a run that was stopped at any moment goes on from its last whole shard
and gives what an undisturbed run gives; vectors out == texts in.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from splade_lucene.datasets import Doc, Query
from splade_lucene.errors import ConfigError
from splade_lucene.vector_files import Shard, VectorFolder
from splade_lucene.vectors import Encoder, TermVectors

SHARD_SIZE = 2_048
WINDOW = 256  # texts between two signs of progress


def encode_collection(
    encoder: Encoder,
    records: Iterable[Doc | Query],
    output: Path,
    *,
    source: str,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[int], None] = lambda count: None,
) -> VectorFolder:
    """Encode records into a folder of shards; called again after an interruption, it goes on.

    Args:
        encoder: for this side.
        records: documents or queries; they are read from the start on every call, in the same order.
        output: the folder; made if it is not there.
        source: the INPUT's name, remembered in the folder.
        shard_size: records a shard. A folder is finished with the size it was begun with.
        progress: called with the number of records that are done, for those found done already too.

    Returns:
        The finished folder's record.

    Raises:
        ConfigError: the folder was begun with another model or from other texts, or holds other files.
    """
    folder = _open(encoder, output, source, shard_size)
    number = -1
    for number, shard in enumerate(_shards(records, folder.shard_size)):
        digest = _digest(shard)
        if number < len(folder.shards):
            if folder.shards[number].digest != digest:
                raise ConfigError(f"{output} was begun from other texts (shard {number} differs); name another folder")
            progress(len(shard))
        elif folder.complete:
            raise ConfigError(f"{output} is finished, and {source} has more texts now; name another folder")
        else:
            done = _encode_shard(encoder, shard, folder, digest, progress)
            folder = replace(folder, shards=(*folder.shards, done))
            folder.save()
    if number + 1 < max(1, len(folder.shards)):
        raise ConfigError(
            f"{source} has fewer texts than {output} holds; name another folder"
            if folder.shards
            else f"{source} has no texts"
        )
    folder = replace(folder, complete=True)
    folder.save()
    return folder


def _open(encoder: Encoder, output: Path, source: str, shard_size: int) -> VectorFolder:
    """The folder as it was left, or a new one."""
    if VectorFolder.is_one(output):
        folder = VectorFolder.open(output)
        if folder.encoder != encoder.identity:
            raise ConfigError(
                f"{output} was begun with {folder.encoder}; this encoder is {encoder.identity}: name another folder"
            )
        if not (output / folder.VOCABULARY).exists():  # stopped between the two files
            folder.write_vocabulary(encoder.vocabulary)
        return folder
    if output.exists() and (not output.is_dir() or any(not file.name.startswith(".") for file in output.iterdir())):
        raise ConfigError(f"{output} exists and was not begun by encode; name another folder")
    folder = VectorFolder(output, encoder.identity, source, shard_size)
    folder.save()
    folder.write_vocabulary(encoder.vocabulary)
    return folder


def _shards(records: Iterable[Doc | Query], size: int) -> Iterator[list[Doc | Query]]:
    remaining = iter(records)
    while shard := list(islice(remaining, size)):
        yield shard


def _digest(shard: list[Doc | Query]) -> str:
    """12 hex digits of SHA-256 over the ids and texts."""
    digest = hashlib.sha256()
    for record in shard:
        for part in (record[0], record.default_text()):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:12]


def _encode_shard(
    encoder: Encoder, shard: list[Doc | Query], folder: VectorFolder, digest: str, progress: Callable[[int], None]
) -> Shard:
    truncated = encoder.truncated_texts
    parts = []
    for start in range(0, len(shard), WINDOW):
        window = shard[start : start + WINDOW]
        parts.append(encoder.encode([record.default_text() for record in window], ids=[record[0] for record in window]))
        progress(len(window))
    vectors = TermVectors.concatenate(parts)
    file = f"shard-{len(folder.shards):05}.parquet"
    folder.write_shard(file, vectors)
    return Shard(
        file=file,
        documents=len(vectors),
        digest=digest,
        truncated=encoder.truncated_texts - truncated,
        empty=int((vectors.row_lengths == 0).sum()),
    )
