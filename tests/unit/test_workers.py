"""Several devices: who gets what, and what becomes of a worker that fails."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from splade_lucene.encoding import workers
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.encoding.pipeline import CollectionOptions
from splade_lucene.encoding.workers import EncodingJob, devices_of, encode_on_devices
from splade_lucene.errors import ConfigError, EncoderError, FormatError
from splade_lucene.vector_files import read_vectors
from splade_lucene.vector_folders import Part, open_vectors
from tests.helpers import WORDS, tiny_backend


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EncodingJob:
    """Fifty queries by a table of weights, in shards of 8."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "model").mkdir()
    tiny_backend().save(str(folder / "model" / "tokenizer.json"))
    (folder / "model" / "idf.json").write_text(json.dumps({word: len(word) / 4 for word in WORDS}))
    queries = folder / "queries.tsv"
    queries.write_text("".join(f"q{number}\t{WORDS[number]} {WORDS[-number]}\n" for number in range(50)))
    options = EncoderOptions(device="cpu")
    return EncodingJob(str(folder / "model"), "queries", options, str(queries), folder / "whole", shard_size=8)


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]], ids=len)
def test_devices_share_the_work_and_the_result_is_the_same(
    job: EncodingJob, devices: list[str], tmp_path: Path
) -> None:
    whole = job.run(lambda count: None)
    seen: list[int] = []
    folders = encode_on_devices(replace(job, output=tmp_path / "out"), devices, seen.append)
    assert sum(seen) == sum(folder.documents for folder in folders) == 50
    assert [folder.documents for folder in folders] == ([50] if len(devices) == 1 else [26, 24])
    assert list(read_vectors(tmp_path / "out")) == list(whole.read())
    again: list[int] = []
    encode_on_devices(replace(job, output=tmp_path / "out"), devices, again.append)
    assert sum(again) == 50


def test_a_share_may_be_shared_again(job: EncodingJob, tmp_path: Path) -> None:
    """Two machines of two devices each: four parts."""
    for number in (1, 2):
        half = replace(job, output=tmp_path / "out", options=CollectionOptions(part=Part(number, 2)))
        encode_on_devices(half, ["cpu", "cpu"], lambda count: None)
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        f"part-{number}-of-4" for number in range(1, 5)
    ]
    merged = open_vectors(tmp_path / "out")
    assert merged is not None and merged.documents == 50


def test_the_cores_are_shared_too(job: EncodingJob) -> None:
    shares = job.shared_by(["cpu", "cuda:1"])
    assert [share.encoder.device for share in shares] == ["cpu", "cuda:1"]
    assert [share.options.part for share in shares] == [Part(1, 2), Part(2, 2)]
    assert {share.encoder.threads for share in shares} == {max(1, (os.cpu_count() or 1) // 2)}
    assert replace(job, encoder=EncoderOptions(threads=3)).shared_by(["cpu", "cpu"])[0].encoder.threads == 3


def test_the_error_of_a_worker_is_the_error_of_all(job: EncodingJob, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("q1\tcat\nno tab here\n")
    with pytest.raises(FormatError, match=r"bad\.tsv:2: 2 tab-separated columns were expected"):
        encode_on_devices(
            replace(job, source=str(tmp_path / "bad.tsv"), output=tmp_path / "out"), ["cpu", "cpu"], lambda count: None
        )


def test_a_worker_that_is_killed_is_an_error_that_says_where(
    job: EncodingJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = workers._start
    started = []

    def killing(share: EncodingJob) -> object:
        pipe, process = start(share)
        started.append(process)
        if len(started) == 2:
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
        return pipe, process

    monkeypatch.setattr(workers, "_start", killing)
    with pytest.raises(EncoderError, match=r"worker on cpu was ended from outside \(exit code -9\).*it goes on"):
        encode_on_devices(replace(job, output=tmp_path / "out"), ["cpu", "cpu"], lambda count: None)
    assert not any(process.is_alive() for process in started)
    monkeypatch.undo()
    encode_on_devices(replace(job, output=tmp_path / "out"), ["cpu", "cpu"], lambda count: None)


def test_devices_of_several_kinds_need_one_precision(job: EncodingJob, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cuda:0, cpu may differ in precision: say --precision fp32"):
        encode_on_devices(replace(job, output=tmp_path / "out"), ["cuda:0", "cpu"], lambda count: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["cpu,", ",", "auto,cpu", "cuda:0,,cuda:1"])
def test_devices_are_named_one_by_one(device: str) -> None:
    with pytest.raises(ConfigError, match="several devices are named one by one"):
        devices_of("default", device, "documents")


def test_auto_takes_all_gpus_for_the_documents_of_a_checkpoint(
    tiny_model: Path, job: EncodingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for gpus, expected in ((0, ["auto"]), (1, ["auto"]), (2, ["cuda:0", "cuda:1"])):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert devices_of(str(tiny_model), "auto", "documents") == expected
        assert devices_of(str(tiny_model), "auto", "queries") == ["auto"]
        assert devices_of("default", "auto", "documents") == ["auto"]
    assert devices_of(str(tiny_model), " cuda:3 , cpu ", "documents") == ["cuda:3", "cpu"]
