"""Encoding a collection: streamed, sharded, resumable.

Laws: the texts of at most two shards are in memory, one in the network and the next being read and tokenized; a run
that was stopped at any moment goes on from its last whole shard and leaves, byte for byte, what an undisturbed run
leaves; vectors out == texts in, in their order; no batch crosses a shard's border, so that shards encoded apart are
those of the whole.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

from splade_lucene.datasets import Doc, Passages, Query, check_unique
from splade_lucene.encoding.encoder import TextEncoder
from splade_lucene.encoding.tokenizer import Tokens
from splade_lucene.errors import ConfigError, EncoderError
from splade_lucene.files import remove_leftovers
from splade_lucene.vector_folders import Part, Shard, VectorFolder, WeightType, part_folders
from splade_lucene.vectors import Vocabulary

SHARD_SIZE = 2_048


@dataclass(frozen=True)
class CollectionOptions:
    """How a collection is encoded and stored.

    passages: how documents are cut first. weights: what the shards store; float16 halves them and keeps 3 digits.
    scale: remembered for whoever makes impacts of the weights. part: encode only this share of the shards, into a
    folder of its own within the output.
    """

    passages: Passages | None = None
    weights: WeightType = "float32"
    scale: float | None = None
    part: Part | None = None


@dataclass(frozen=True)
class _Window:
    """One shard's records on their way to the network; without texts and tokens where nothing is left to encode.

    number: among the input's shards. place: among the folder's, None where another part has it.
    """

    number: int
    place: int | None
    ids: list[str]
    digest: str
    texts: list[str]
    tokens: list[Tokens]


def encode_collection(
    encoder: TextEncoder,
    records: Iterable[Doc | Query],
    output: Path,
    *,
    source: str,
    options: CollectionOptions | None = None,
    shard_size: int = SHARD_SIZE,
    progress: Callable[[int], None] = lambda count: None,
) -> VectorFolder:
    """Encode records into a folder of shards; called again after an interruption, it goes on.

    Args:
        encoder: for this side.
        records: documents or queries, all of the input; they are read from the start on every call, in the same order.
        output: the folder; made if it is not there. A part is a folder within it.
        source: the INPUT's name, remembered in the folder.
        options: how.
        shard_size: records a shard. A folder is finished with the size it was begun with.
        progress: called with the number of records that are done, for those found done already too.

    Returns:
        The finished folder's record.

    Raises:
        ConfigError: the folder was begun with another model, from other texts or with other options, or holds other
            files.
        FormatError: a doc_id stands twice in a shard.
        EncoderError: the model gives the texts of the first shard not one term.
        WeightError: a weight is NaN or infinite, or does not fit what is stored; the run can be taken up again.
    """
    options = options or CollectionOptions()
    if options.passages is not None:
        records = options.passages.cut(_documents(records))
    _refuse_other_parts(output, options.part)
    new = VectorFolder(
        output if options.part is None else output / options.part.folder,
        encoder.identity,
        source,
        shard_size,
        weights=options.weights,
        passages=options.passages,
        scale=options.scale,
        part=options.part,
    )
    folder = _begun(new, encoder.vocabulary)
    named = source if source == folder.source else f"{source} (it was begun from {folder.source})"
    total = mine = 0
    whole_input = hashlib.sha256()
    for window in _windows(encoder, records, folder):
        total += len(window.ids)
        whole_input.update(window.digest.encode())
        if window.place is None:
            continue
        mine += 1
        if window.place < len(folder.shards):
            if folder.shards[window.place].digest != window.digest:
                raise ConfigError(
                    f"{folder.path} was begun from other texts than {named} has now: shard {window.number} differs; "
                    "name another folder"
                )
            progress(len(window.ids))
        elif folder.complete:
            raise ConfigError(f"{folder.path} is finished, and {named} has more texts now; name another folder")
        else:
            folder = replace(folder, shards=(*folder.shards, _encode(encoder, window, folder, progress)))
            folder.save()
    finished = replace(folder, complete=True, total=total, input_digest=whole_input.hexdigest()[:12])
    if mine < len(folder.shards) or (folder.complete and finished != folder):
        raise ConfigError(f"{named} has fewer or other texts than {folder.path} was made of; name another folder")
    if total == 0:
        raise ConfigError(f"{source} has no texts")
    finished.save()
    remove_leftovers(finished.path)
    return finished


def _documents(records: Iterable[Doc | Query]) -> Iterator[Doc]:
    for record in records:
        if not isinstance(record, Doc):
            raise ConfigError("queries are not cut into passages: leave the passages out")
        yield record


def _begun(new: VectorFolder, vocabulary: Vocabulary) -> VectorFolder:
    """The folder as it was left, or the new one, begun."""
    path = new.path
    if VectorFolder.is_one(path):
        folder = VectorFolder.open(path)
        if difference := folder.unlike(new, "part"):
            raise ConfigError(f"{path} was begun with {difference}: go on as it was begun, or name another folder")
        if not (path / folder.VOCABULARY).exists():  # stopped between the two files
            folder.write_vocabulary(vocabulary)
        return folder
    if path.exists() and (not path.is_dir() or any(not file.name.startswith(".") for file in path.iterdir())):
        raise ConfigError(f"{path} exists and was not begun by encode; name another folder")
    new.save()
    new.write_vocabulary(vocabulary)
    return new


def _refuse_other_parts(output: Path, part: Part | None) -> None:
    """A folder holds one encoding: whole, or the parts of one number."""
    if part is not None and VectorFolder.is_one(output):
        raise ConfigError(f"{output} holds an encoding that is not parted; name another folder")
    for other in part_folders(output):
        if part is None or other.parts != part.parts:
            raise ConfigError(
                f"{output} holds part {other}, and this would be {'the whole' if part is None else f'part {part}'}; "
                "encode with as many parts and devices as before, or name another folder"
            )


def _windows(encoder: TextEncoder, records: Iterable[Doc | Query], folder: VectorFolder) -> Iterator[_Window]:
    """The input shard by shard; while the caller has one, the next is read and tokenized in a thread."""
    remaining, numbers = iter(records), count()

    def prepare() -> _Window | None:
        shard = list(islice(remaining, folder.shard_size))
        if not shard:
            return None
        check_unique([record[0] for record in shard], where=folder.source)  # before the network spends hours on it
        number = next(numbers)
        place = folder.place(number)
        wanted = place is not None and place >= len(folder.shards)
        texts = [record.default_text() for record in shard]
        return _Window(
            number=number,
            place=place,
            ids=[record[0] for record in shard],
            digest=_digest(shard),
            texts=texts if wanted else [],
            tokens=encoder.tokenize(texts) if wanted else [],
        )

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenize") as thread:
        coming = thread.submit(prepare)
        while (window := coming.result()) is not None:
            coming = thread.submit(prepare)
            yield window


def _digest(shard: list[Doc | Query]) -> str:
    """12 hex digits of SHA-256 over the ids and texts."""
    digest = hashlib.sha256()
    for record in shard:
        for part in (record[0], record.default_text()):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()[:12]


def _encode(encoder: TextEncoder, window: _Window, folder: VectorFolder, progress: Callable[[int], None]) -> Shard:
    """Encode one shard and write its file."""
    vectors = encoder.encode_tokens(window.tokens, ids=window.ids, progress=progress)
    if window.place == 0 and not vectors.weights.any() and any(map(encoder.terms_in, window.texts)):
        folder.discard()
        raise EncoderError(
            f"{encoder.identity} gives not one of the first {len(vectors):,} texts a term: the model has collapsed, or "
            "its weights, pooling, activation or least weight are not what it was trained with"
        )
    file = f"shard-{window.number:05}.parquet"
    stored = folder.write_shard(file, vectors)
    return Shard(
        file=file,
        documents=len(stored),
        digest=window.digest,
        truncated=sum(each.truncated for each in window.tokens),
        empty=int((stored.row_lengths == 0).sum()),
        dropped=len(vectors.terms) - len(stored.terms),
    )
