"""One collection, several devices: a process for each, and each encodes its share of the shards.

Laws: a worker's error ends all of them with its message; no worker outlives the process that started it; what was
encoded stays, and the same command goes on from there.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from splade_lucene.datasets import read_documents, read_queries
from splade_lucene.encoding.encoder import find_model, load_encoder
from splade_lucene.encoding.layouts import Checkpoint, read_layout
from splade_lucene.encoding.options import EncoderOptions, Side
from splade_lucene.encoding.pipeline import SHARD_SIZE, CollectionOptions, encode_collection
from splade_lucene.errors import ConfigError, EncoderError, SpladeLuceneError
from splade_lucene.vector_folders import Part, VectorFolder

Progress = Callable[[int], None]


@dataclass(frozen=True)
class EncodingJob:
    """All that a process needs to know to encode a collection or a part of it.

    model, side, encoder: what encodes. source: the INPUT. output: the folder. options, shard_size: as in
    `encode_collection`.
    """

    model: str
    side: Side
    encoder: EncoderOptions
    source: str
    output: Path
    options: CollectionOptions = field(default_factory=CollectionOptions)
    shard_size: int = SHARD_SIZE

    def run(self, progress: Progress) -> VectorFolder:
        """Do it in this process."""
        return encode_collection(
            load_encoder(self.model, side=self.side, options=self.encoder),
            read_documents(self.source) if self.side == "documents" else read_queries(self.source),
            self.output,
            source=self.source,
            options=self.options,
            shard_size=self.shard_size,
            progress=progress,
        )

    def shared_by(self, devices: list[str]) -> "list[EncodingJob]":
        """A job for each device: a part of this one, in a folder of its own within the output."""
        parts = (self.options.part or Part(1, 1)).split(len(devices))
        cores = max(1, (os.cpu_count() or 1) // len(devices))
        return [
            replace(
                self,
                encoder=replace(self.encoder, device=device, threads=self.encoder.threads or cores),
                options=replace(self.options, part=part),
            )
            for device, part in zip(devices, parts, strict=True)
        ]


def encode_on_devices(job: EncodingJob, devices: list[str], progress: Progress) -> list[VectorFolder]:
    """Run a job, in this process where there is one device, else in one worker for each.

    Returns:
        The records of the finished folders, one for each device.

    Raises:
        ConfigError: devices of several kinds, which would compute in different precisions.
        EncoderError: a worker was killed. SpladeLuceneError: what went wrong in the first worker to fail.
    """
    if len(devices) == 1:
        return [replace(job, encoder=replace(job.encoder, device=devices[0])).run(progress)]
    if len({device.partition(":")[0] for device in devices}) > 1 and job.encoder.precision == "auto":
        raise ConfigError(f"{', '.join(devices)} may differ in precision: say --precision fp32, say, for all of them")
    shares = job.shared_by(devices)
    workers: dict[Connection, BaseProcess] = {}
    try:
        for share in shares:
            pipe, process = _start(share)
            workers[pipe] = process
        _follow(dict(workers), dict(zip(workers, devices, strict=True)), progress)
    finally:
        for process in workers.values():
            process.terminate()
        for process in workers.values():
            process.join()
    return [VectorFolder.open(share.output / share.options.part.folder) for share in shares if share.options.part]


def _start(job: EncodingJob) -> tuple[Connection, BaseProcess]:
    """A worker and the pipe through which it speaks: numbers of encoded records, then None or its error."""
    context = multiprocessing.get_context("spawn")  # CUDA and the JVM do not survive a fork
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _follow(running: dict[Connection, BaseProcess], devices: dict[Connection, str], progress: Progress) -> None:
    """Pass on what the workers say, until all are done."""
    while running:
        for pipe in wait(list(running)):
            assert isinstance(pipe, Connection)
            try:
                said = pipe.recv()
            except EOFError:
                running[pipe].join()
                raise EncoderError(
                    f"the worker on {devices[pipe]} was ended from outside (exit code {running[pipe].exitcode}); was "
                    "there too little memory? Run the same command again, it goes on"
                ) from None
            if isinstance(said, int):
                progress(said)
            elif said is None:
                del running[pipe]
            else:
                raise said


def _work(job: EncodingJob, pipe: Connection) -> None:
    """What a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        job.run(pipe.send)
        pipe.send(None)
    except SpladeLuceneError as error:
        pipe.send(error)
    except Exception as error:
        pipe.send(EncoderError(f"{job.encoder.device}: {type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """End this process when its parent is gone, however that ended; what is half-written has another name."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def devices_of(model: str, device: str, side: Side) -> list[str]:
    """The devices that `--device` means: several where it names several, or is `auto` and there are several GPUs.

    Only documents through a checkpoint are shared out unasked: queries are few, and an exported model runs where
    onnxruntime puts it.

    Raises:
        ConfigError: a name among several is empty, or `auto`. ModelNotFoundError: there is no such model.
    """
    devices = [each.strip() for each in device.split(",")]
    if len(devices) > 1 and not {"", "auto"}.isdisjoint(devices):
        raise ConfigError(f"{device!r}: several devices are named one by one, as in cuda:0,cuda:1")
    if devices == ["auto"] and side == "documents":
        folder, _ = find_model(model)
        if isinstance(read_layout(folder, side), Checkpoint):
            import torch

            gpus = torch.cuda.device_count()
            if gpus > 1:
                return [f"cuda:{number}" for number in range(gpus)]
    return devices
