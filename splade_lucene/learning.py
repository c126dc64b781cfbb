"""Training, with Lucene to validate it: what `training` itself knows nothing of, and is given.

Law: `train` is what the verb does; there is no second way.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splade_lucene.errors import ConfigError

if TYPE_CHECKING:
    from splade_lucene.runs import Run
    from splade_lucene.training.run import Outcome, Progress
    from splade_lucene.vectors import TermVectors


def train(
    config: str | Path,
    output: str | Path,
    *,
    settings: Sequence[str] = (),
    data: str | Path | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: "Progress | None" = None,
) -> "Outcome":
    """Train a model as a file says, validating it by retrieval; run again, it goes on where it was stopped.

    Args:
        config: the file: who learns, from what, and how; `conf/training/` has some.
        output: a folder for the run, which becomes its own; `model/` in it is what `load_encoder` takes.
        settings: `key.path=value` each, in the place of the file's.
        data: a folder in which what the file names is looked for, too.
        overwrite: begin anew; what the folder has of a run is lost.
        say: takes a line of the log for a person.
        progress: opens a progress bar.

    Returns:
        The model, the step that it is of, and what was measured at each validation.

    Raises:
        ConfigError: the file is wrong or does not fit its data, the folder holds something else, or accelerate is not
            installed. FormatError: examples or texts are malformed. EncoderError: a model cannot be loaded.
        TrainingError: the loss is no number, or all weights have become 0.
    """
    if find_spec("accelerate") is None:
        raise ConfigError("training needs the package accelerate: pip install 'splade-lucene[train]'")
    from splade_lucene.config import load
    from splade_lucene.training.experiment import TrainingExperiment
    from splade_lucene.training.run import Surroundings
    from splade_lucene.training.run import train as trained

    experiment = load(Path(config), TrainingExperiment, settings)
    outside = Surroundings(_search, say, progress or _hidden, Path(data) if data is not None else None)
    return trained(experiment, Path(output), outside, overwrite=overwrite)


def _search(documents: "TermVectors", queries: "TermVectors", k: int) -> "Run":
    """The k best documents of each query, by an index that is made for it."""
    from splade_lucene.lucene.build import IndexOptions
    from splade_lucene.lucene.index import ImpactIndex
    from splade_lucene.lucene.searcher import Searcher

    with (
        TemporaryDirectory(prefix="splade-lucene-") as folder,
        ImpactIndex.build(Path(folder) / "index", [documents], IndexOptions(blocks=False)) as index,
    ):
        return Searcher(index).search_vectors(queries, k)


@contextmanager
def _hidden(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda count: None
