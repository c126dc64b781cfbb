"""Models on the Hugging Face hub: `name` or `name@revision` → a local folder. Imports the hub's client at first use."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from splade_lucene.errors import ModelNotFoundError

_SMALL = {".json", ".txt", ".model"}  # configurations, tables, and the files of all kinds of tokenizers


def resolve(model: str) -> tuple[Path, str]:
    """The folder of a model in the hub's local cache, downloaded where it is not there yet.

    Args:
        model: a hub name; a branch, a tag or a commit may follow after "@". Where the hub cannot be reached, what the
            cache holds of it is taken.

    Returns:
        The folder, and `name@commit`: the same model, whatever is published later.

    Raises:
        ModelNotFoundError: neither a folder, nor a model that the hub or its cache has.
    """
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        found = HfApi().model_info(name, revision=revision or None)
        wanted = wanted_files(each.rfilename for each in found.siblings or ())
        folder = Path(snapshot_download(name, revision=found.sha, allow_patterns=wanted))
    except HFValidationError as error:
        raise ModelNotFoundError(f"{model!r} is no folder that is there, and cannot be a name on the hub") from error
    except Exception as error:  # of the client's HTTP library, and that is another one from release to release
        try:
            folder = Path(snapshot_download(name, revision=revision or None, local_files_only=True))
        except LocalEntryNotFoundError:
            raise ModelNotFoundError(
                f"{model!r} is no folder that is there, the hub did not give it ({_first_line(error)}), and the cache "
                f"{constants.HF_HUB_CACHE} does not hold it. Without network: fill a cache elsewhere (hf download "
                f"{name}{f' --revision {revision}' if revision else ''}), copy it here and point HF_HUB_CACHE at it, "
                "or name a folder"
            ) from error
    return folder, f"{name}@{folder.name}"


def wanted_files(files: Iterable[str]) -> list[str]:
    """Those of a model's files that an encoder reads: weights in one format, configurations, tokenizers and tables.

    Of each folder, `.safetensors` rather than `.bin`; `model.onnx` where there is neither; no copies for other
    runtimes.
    """
    paths = [each for each in map(PurePosixPath, files) if each.parts[0] not in ("onnx", "openvino", "coreml")]
    wanted = [each for each in paths if each.suffix in _SMALL]
    for folder in {each.parent for each in paths}:
        inside = [each for each in paths if each.parent == folder]
        kinds = (
            [each for each in inside if each.suffix == ".safetensors"],
            [each for each in inside if each.suffix == ".bin" and each.name.startswith("pytorch_model")],
            [each for each in inside if each.name.startswith("model.onnx")],
        )
        wanted += next((kind for kind in kinds if kind), [])
    return sorted(map(str, wanted))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
