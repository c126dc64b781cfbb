"""Hub names: what is downloaded, what the cache gives without network, and what is said when neither does."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from splade_lucene.encoding.encoder import load_encoder
from splade_lucene.encoding.hub import resolve, wanted_files
from splade_lucene.encoding.options import EncoderOptions
from splade_lucene.errors import ModelNotFoundError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OLDER = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture
def cache(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as the hub's client fills it: one model, two commits, one branch."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = tmp_path / "models--someone--splade"
    for commit in (COMMIT, OLDER):
        shutil.copytree(tiny_model, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return tmp_path


@pytest.mark.parametrize(
    ("revision", "commit"), [("", COMMIT), ("@main", COMMIT), (f"@{OLDER}", OLDER), (f"@{COMMIT}", COMMIT)]
)
def test_a_model_in_the_cache_needs_no_network(cache: Path, revision: str, commit: str) -> None:
    folder, name = resolve(f"someone/splade{revision}")
    assert folder == cache / "models--someone--splade" / "snapshots" / commit
    assert name == f"someone/splade@{commit}"


def test_the_identity_remembers_the_commit(cache: Path, tiny_model: Path) -> None:
    options = EncoderOptions(device="cpu")
    encoder, local = load_encoder("someone/splade", options=options), load_encoder(tiny_model, options=options)
    assert encoder.identity.name == f"someone/splade@{COMMIT}"
    assert encoder.identity.fingerprint == local.identity.fingerprint
    assert load_encoder(encoder.identity.name, options=options).identity == encoder.identity


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("someone/else", "hf download someone/else)"),
        ("someone/splade@v9", "hf download someone/splade --revision v9)"),
    ],
)
def test_without_network_the_error_names_the_cache_and_how_to_fill_it(cache: Path, name: str, command: str) -> None:
    with pytest.raises(ModelNotFoundError) as refused:
        load_encoder(name)
    for part in (repr(name), str(cache), command, "HF_HUB_CACHE", "the hub did not give it"):
        assert part in str(refused.value)


@pytest.mark.parametrize("name", ["/no/such/folder", "a/b/c", "two words", "./model", "x" * 200, "@main", "a\x00b"])
def test_what_cannot_be_a_name_is_no_folder_either(cache: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no folder that is there"):
        load_encoder(name)


def test_a_folder_whose_name_has_an_at_sign_is_a_folder(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "splade@home")
    assert load_encoder(folder).identity.name == str(folder)


def test_the_commit_that_the_hub_names_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def model_info(self: object, name: str, *, revision: str | None) -> SimpleNamespace:
        asked.append((name, revision))
        files = ("config.json", "model.safetensors", "pytorch_model.bin")
        return SimpleNamespace(sha=COMMIT, siblings=[SimpleNamespace(rfilename=file) for file in files])

    def snapshot_download(name: str, *, revision: str, allow_patterns: Sequence[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return f"/cache/snapshots/{revision}"

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert resolve("someone/splade@main") == (Path(f"/cache/snapshots/{COMMIT}"), f"someone/splade@{COMMIT}")
    assert asked == [
        ("someone/splade", "main"),
        ("someone/splade", COMMIT, ["config.json", "model.safetensors"]),
    ]


def test_only_what_an_encoder_reads_is_downloaded() -> None:
    published = """
        README.md .gitattributes config.json tokenizer.json tokenizer_config.json vocab.txt idf.json modules.json
        query_token_weights.txt sentencepiece.bpe.model model.safetensors pytorch_model.bin tf_model.h5 rust_model.ot
        onnx/model.onnx onnx/config.json openvino/openvino_model.xml openvino/openvino_model.bin flax_model.msgpack
        query_0_SparseStaticEmbedding/model.safetensors query_0_SparseStaticEmbedding/config.json
        document_0_MLMTransformer/pytorch_model.bin training_args.bin model.onnx
    """
    left_out = """
        README.md .gitattributes pytorch_model.bin tf_model.h5 rust_model.ot onnx/model.onnx onnx/config.json
        openvino/openvino_model.xml openvino/openvino_model.bin flax_model.msgpack training_args.bin model.onnx
    """
    assert wanted_files(published.split()) == sorted(set(published.split()) - set(left_out.split()))


def test_an_export_is_downloaded_whole() -> None:
    published = ["config.json", "model.onnx", "model.onnx.data", "tokenizer.json", "README.md"]
    assert wanted_files(published) == ["config.json", "model.onnx", "model.onnx.data", "tokenizer.json"]
