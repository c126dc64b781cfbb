"""What a model's folder holds: the layouts that the families are published in, told apart by their files.

Reads and writes JSON alone, and imports neither torch nor the libraries that wrote the folders. Law: nothing is guessed
from a name; a folder that is none of these layouts is refused with what was found in it.
"""

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_lucene.encoding.options import Side
from splade_lucene.errors import EncoderError, ModelNotFoundError

if TYPE_CHECKING:
    from splade_lucene.encoding.pooling import Activation, Pooling

ONNX_FORMAT = "splade-lucene-onnx"
USUAL_MAX_LENGTH = 512  # where a model says nothing less; a network with more positions must be asked for them
TABLES = ("idf.json", "query_token_weights.txt")  # OpenSearch's names; the first one found is read

SUPPORTED = (
    "a masked-LM checkpoint (config.json with an architecture …ForMaskedLM: naver's SPLADE and its kin; with idf.json "
    "or query_token_weights.txt an inference-free model as OpenSearch publishes them), a sentence-transformers "
    "SparseEncoder (modules.json with a fill-mask Transformer or MLMTransformer and SpladePooling, "
    "SparseStaticEmbedding, and a Router of these), and what `splade-lucene export` writes"
)


@dataclass(frozen=True)
class ExportedNetwork:
    """What `export` wrote: `model.onnx`, `tokenizer.json` and a `config.json` of its own."""

    folder: Path


@dataclass(frozen=True)
class Checkpoint:
    """A masked-LM network with its tokenizer, as transformers saves them.

    pooling and activation are None where the layout does not say. prompt stands before every text; top_terms is how
    many terms a vector keeps.
    """

    folder: Path
    pooling: "Pooling | None" = None
    activation: "Activation | None" = None
    max_length: int = USUAL_MAX_LENGTH
    prompt: str = ""
    top_terms: int | None = None


@dataclass(frozen=True)
class WeightTable:
    """Weights of terms in a file, {term: weight} or one weight per term id, and the tokenizer for them.

    missing is the weight of a term that the table lacks. Where special_tokens, [CLS] and [SEP] are put around a text
    (they count in its length) and never weigh anything; otherwise they are not.
    """

    folder: Path
    file: Path
    missing: float
    special_tokens: bool
    max_length: int = USUAL_MAX_LENGTH
    prompt: str = ""
    top_terms: int | None = None


Layout = ExportedNetwork | Checkpoint | WeightTable


def read_layout(folder: Path, side: Side) -> Layout:
    """What encodes this side's texts, as the folder's files say.

    Raises:
        ModelNotFoundError: no folder, or none of the files by which layouts are told apart. EncoderError: a layout that
            is not supported, or a file that is malformed.
    """
    if not folder.is_dir():
        raise ModelNotFoundError(f"{folder}: no such folder")
    config = _read_object(folder / "config.json") if (folder / "config.json").is_file() else {}
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    modules = (folder / "modules.json").is_file()
    exported = config.get("format") == ONNX_FORMAT
    if table and side == "queries" and (exported or not modules):
        rule = read_exported_config(folder).get("query_table") if exported else None
        return _looked_up(folder, table, rule or {})
    if exported:
        return ExportedNetwork(folder)
    if modules:
        return _read_sparse_encoder(folder, side)
    if not config:
        raise ModelNotFoundError(f"{folder} has no config.json that describes a model; what can be read is {SUPPORTED}")
    architectures = config.get("architectures")
    if isinstance(architectures, list) and any(str(each).endswith("ForMaskedLM") for each in architectures):
        return Checkpoint(folder, max_length=tokenizer_length(folder))
    raise _refusal(folder / "config.json", f"its architectures are {architectures!r}")


def _looked_up(folder: Path, table: Path, rule: dict[str, Any]) -> WeightTable:
    """By OpenSearch's rules, where an export does not say others: `query_table` holds fields of `WeightTable`."""
    return WeightTable(
        folder,
        table,
        missing=float(rule.get("missing", 1.0)),
        special_tokens=bool(rule.get("special_tokens", True)),
        max_length=int(rule.get("max_length", 0)) or tokenizer_length(folder),
        prompt=str(rule.get("prompt", "")),
        top_terms=rule.get("top_terms"),
    )


def read_exported_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of an exported model, its values of the right kinds.

    Raises:
        ModelNotFoundError: there is none. EncoderError: it is malformed, or of another version.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise ModelNotFoundError(f"{folder}: no config.json there; an exported model is a folder that has one")
    config = _read_object(file)
    if config.get("format") != ONNX_FORMAT or config.get("format_version") != 1:
        raise EncoderError(f"{file}: not an exported model of this version ({ONNX_FORMAT} 1)")
    kinds: dict[str, type] = {"name": str, "max_length": int, "activation": str}
    if missing := kinds.keys() - config.keys():
        raise EncoderError(f"{file}: no {', '.join(sorted(missing))} in it")
    kinds |= {"pooling": str, "precision": str, "pad_id": int, "top_terms": int}
    kinds |= {"prompts": dict, "query_table": dict}
    for key, kind in kinds.items():
        if config.get(key) is not None and not isinstance(config[key], kind):
            raise EncoderError(f"{file}: {key} is {config[key]!r}, not of type {kind.__name__}")
    return config


def prompt_of(config: dict[str, Any], side: Side) -> str:
    """What stands before a text of this side: `prompts` as sentence-transformers writes it."""
    return str((config.get("prompts") or {}).get(TASKS[side]) or "")


def agreed[Value: str](what: str, stated: Value | None, wanted: Value | None, folder: Path) -> Value | None:
    """What a model says of itself, or the options where it says nothing.

    Raises:
        EncoderError: both say something, and not the same.
    """
    if stated and wanted and stated != wanted:
        raise EncoderError(f"{folder} has {what} {stated}, and {wanted} was asked for: leave that option out")
    return stated or wanted


# sentence-transformers

TASKS: dict[Side, str] = {"documents": "document", "queries": "query"}
_ACTIVATIONS: "dict[str, Activation]" = {"relu": "log1p_relu", "log1p_relu": "log1p_log1p_relu"}
# Settings of its Transformer that change what a text becomes, and what they are where they change nothing.
_NEUTRAL = {"do_lower_case": False, "query_length": None, "document_length": None, "query_expansion": None}


_MODELS = "sentence_transformers.sparse_encoder.models"  # its modules' home, known to its old releases too


def write_sparse_encoder_files(checkpoint: Checkpoint) -> None:
    """Add to a checkpoint's folder what makes it a SparseEncoder of sentence-transformers, for either side's texts.

    The network and its tokenizer are there already, as transformers saves them. Law: `read_layout` then gives this
    checkpoint, its pooling and activation named.
    """
    steps = [("", f"{_MODELS}.MLMTransformer"), ("1_SpladePooling", f"{_MODELS}.SpladePooling")]
    _write_modules(checkpoint.folder, steps, dict.fromkeys(TASKS.values(), checkpoint.prompt), checkpoint.top_terms)
    _write_network_files(checkpoint, checkpoint.folder, checkpoint.folder / "1_SpladePooling")


def write_sparse_router_files(documents: Checkpoint, queries: Checkpoint | None) -> dict[Side, Path]:
    """Write what makes a folder a SparseEncoder whose sides are encoded in two ways.

    Args:
        documents: its folder is the model's.
        queries: None where query weights are looked up (SparseStaticEmbedding).

    Returns:
        where each side's network, or its weights, and its tokenizer belong; the caller puts them there.
    """
    folder = documents.folder
    static = "query_0_SparseStaticEmbedding"
    kept: dict[Side, Path] = {"documents": folder / "document_0_MLMTransformer"}
    routes = {"query": [static], "document": ["document_0_MLMTransformer", "document_1_SpladePooling"]}
    kept["queries"] = folder / static
    if queries is not None:
        routes["query"] = ["query_0_MLMTransformer", "query_1_SpladePooling"]
        kept["queries"] = folder / "query_0_MLMTransformer"
    for each in kept.values():
        each.mkdir(parents=True, exist_ok=True)
    _write_modules(folder, [("", "sentence_transformers.models.Router")], dict.fromkeys(TASKS.values(), ""), None)
    _write_json(
        folder / "router_config.json",
        {
            "types": {name: f"{_MODELS}.{name.split('_')[-1]}" for route in routes.values() for name in route},
            "structure": routes,
            "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
        },
    )
    _write_network_files(documents, kept["documents"], folder / routes["document"][1])
    if queries is None:
        _write_json(folder / static / "config.json", {"frozen": True})
    else:
        _write_network_files(queries, kept["queries"], folder / routes["query"][1])
    return kept


def _write_modules(folder: Path, steps: list[tuple[str, str]], prompts: dict[str, str], top_terms: int | None) -> None:
    modules = [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(steps)]
    configuration = {
        "model_type": "SparseEncoder",
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    } | ({} if top_terms is None else {"max_active_dims": top_terms})
    _write_json(folder / "config_sentence_transformers.json", configuration)
    _write_json(folder / "modules.json", modules)


def _write_network_files(checkpoint: Checkpoint, network: Path, pooling: Path) -> None:
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    pooling.mkdir(exist_ok=True)
    _write_json(
        network / "sentence_bert_config.json", {"max_seq_length": checkpoint.max_length, "do_lower_case": False}
    )
    _write_json(
        pooling / "config.json",
        {
            "pooling_strategy": checkpoint.pooling or "max",
            "activation_function": theirs[checkpoint.activation or "log1p_relu"],
        },
    )


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class StModule:
    """One step of a SparseEncoder: its class without the package, and its folder."""

    kind: str
    folder: Path


def _read_sparse_encoder(folder: Path, side: Side) -> Layout:
    listed = read_json(folder / "modules.json")
    try:
        modules = [
            st_module(each["type"], folder, each["path"]) for each in sorted(listed, key=lambda each: int(each["idx"]))
        ]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise EncoderError(f"{folder / 'modules.json'}: not a list of modules ({error!r})") from error
    if modules and modules[0].kind in ("Router", "Asym"):
        modules = _route(modules[0].folder, side) + modules[1:]
    file = folder / "config_sentence_transformers.json"
    config = _read_object(file) if file.is_file() else {}
    prompt, top_terms = prompt_of(config, side), _whole(config, "max_active_dims", file)
    match modules:
        case [StModule("MLMTransformer" | "Transformer"), StModule("SpladePooling")]:
            network, pooling = modules[0], _read_object(modules[1].folder / "config.json")
            max_length = _transformer_length(network)
            strategy, activation = pooling.get("pooling_strategy", "max"), pooling.get("activation_function", "relu")
            if strategy not in ("max", "sum") or activation not in _ACTIVATIONS:
                raise _refusal(modules[1].folder, f"SpladePooling of {strategy!r} and {activation!r}")
            return Checkpoint(network.folder, strategy, _ACTIVATIONS[activation], max_length, prompt, top_terms)
        case [StModule("SparseStaticEmbedding", at)]:
            return WeightTable(
                at,
                _static_weights(at, folder),
                missing=0.0,
                special_tokens=False,
                max_length=tokenizer_length(at),
                prompt=prompt,
                top_terms=top_terms,
            )
    found = " → ".join(module.kind for module in modules) or "no modules"
    raise _refusal(folder / "modules.json", f"for {side} it has {found}")


def st_module(kind: str, folder: Path, path: str) -> StModule:
    """A module of sentence-transformers, as `modules.json` names it.

    Raises:
        EncoderError: its path leads out of the model's folder.
    """
    package, _, name = kind.rpartition(".")
    inside = Path(path)
    if inside.is_absolute() or ".." in inside.parts:
        raise EncoderError(f"{folder}: its module {path!r} lies outside of the folder")
    return StModule(name if package.partition(".")[0] == "sentence_transformers" else kind, folder / inside)


def _route(folder: Path, side: Side) -> list[StModule]:
    """The modules of a Router for one side, chosen in the order that its library tries: pairs, then the task's name."""
    named = folder / "router_config.json"
    file = named if named.is_file() else folder / "config.json"  # the older name
    config = _read_object(file)
    task = TASKS[side]
    try:
        mapped = (config.get("parameters") or {}).get("route_mappings") or {}
        routes = {ast.literal_eval(pair): route for pair, route in mapped.items()}
        pairs = ((task, "text"), (task, None), (None, "text"), (None, None))
        names = [routes[pair] for pair in pairs if pair in routes] + [task, "text"]
        chosen = next((name for name in names if name in config["structure"]), None)
        if chosen is None:
            raise _refusal(file, f"its routes are {', '.join(config['structure'])}, and none is for {task} texts")
        return [st_module(config["types"][each], folder, each) for each in config["structure"][chosen]]
    except (KeyError, TypeError, ValueError, SyntaxError, AttributeError) as error:
        raise EncoderError(f"{file}: not a Router's configuration ({error!r})") from error


def _transformer_length(network: StModule) -> int:
    """Tokens a text may have: `max_seq_length` where it is set, else what the tokenizer says."""
    files = sorted(network.folder.glob("sentence_*_config.json"))  # sentence_bert_config.json, and older names
    config = _read_object(files[0]) if files else {}
    task = config.get("transformer_task", "fill-mask" if network.kind == "MLMTransformer" else "feature-extraction")
    if task != "fill-mask":
        raise _refusal(network.folder, f"a {network.kind} whose task is {task!r}, which has no logits of terms")
    for key, neutral in _NEUTRAL.items():
        if config.get(key, neutral) != neutral:
            raise _refusal(files[0], f"{key} is {config[key]!r}, which is not supported")
    stated, own = _whole(config, "max_seq_length", network.folder), tokenizer_length(network.folder)
    return min(stated, USUAL_MAX_LENGTH) if stated else own


def _static_weights(at: Path, folder: Path) -> Path:
    """The file of a SparseStaticEmbedding's weights."""
    config = _read_object(at / "config.json") if (at / "config.json").is_file() else {}
    path = config.get("path")
    places = [at / str(path), folder / str(path)] if path else [at / "model.safetensors"]
    for file in places:
        if file.is_file():
            return file
    raise EncoderError(f"{at}: the weights of its SparseStaticEmbedding are missing ({places[0].name})")


def tokenizer_length(folder: Path) -> int:
    """Tokens a text may have as the tokenizer's configuration says, at most the usual."""
    file = folder / "tokenizer_config.json"
    config = _read_object(file) if file.is_file() else {}
    if config.get("truncation_side", "right") != "right":
        raise EncoderError(f"{file}: truncation_side is {config['truncation_side']!r}; long texts are cut at their end")
    length = config.get("model_max_length")  # 1e30 stands for none
    return int(min(length, USUAL_MAX_LENGTH)) if isinstance(length, int | float) else USUAL_MAX_LENGTH


def _whole(config: dict[str, Any], key: str, where: Path) -> int | None:
    value = config.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise EncoderError(f"{where}: {key} is {value!r}; it is a whole number of at least 1")
    return value


def _read_object(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise EncoderError(f"{file}: not a JSON object")
    return value


def read_json(file: Path) -> Any:
    """What a JSON file of a model holds; raises EncoderError."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EncoderError(f"{file} is missing from the model's folder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{file}: not JSON ({error})") from error


def _refusal(where: Path, found: str) -> EncoderError:
    return EncoderError(f"{where}: no supported layout: {found}. What can be read is {SUPPORTED}")
