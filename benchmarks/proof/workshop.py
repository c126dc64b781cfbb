"""Carries out a plan: each step is a command in a process of its own, done once."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from benchmarks.proof.plan import Make, Plan, Train
from splade_lucene.files import writing_text
from tools.minilm import installed_source

MEASURES = "nDCG@10,R@100"
PROGRAM = "from splade_lucene.cli import main; main()"
GOES_ON = ("encode", "train", "score", "beir")  # verbs that take up what they find of an earlier call


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
        run, config = step.run(seed), self._shared.read_text(encoding="utf-8")
        output = self._folder / "runs" / run
        settings = [word for setting in step.overrides(seed) for word in ("--set", setting)]
        train = ["train", "--config", str(self._shared), "--data", str(self._folder), "--output", str(output)]
        self._do(output, [*train, *settings], threads=self._threads, config=config)
        beir = ["beir", "--model", f"{run}={output / 'model'}", "--datasets", ",".join(plan.tested_on(step, seed))]
        tested = self._folder / "beir" / run
        beir += ["--output", str(tested), "--measures", MEASURES, "--k", "100", "--keep", "runs"]
        beir += ["--precision", plan.training.optimization.precision, "--threads", str(self._threads)]
        beir += ["--data", str(self._data)] if self._data else []
        self._do(tested, beir, threads=self._threads, config=config)

    def _do(self, output: Path, words: list[str], *, threads: int, config: str = "") -> None:
        """Run a command of this package, or of Python's where it begins so, unless it is recorded with this config."""
        record = output.with_name(f"{output.name}.done")
        command = shlex.join(words)
        wanted = f"{command}\n{config}"
        if record.is_file() and record.read_text(encoding="utf-8") == wanted:
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
            file.write(wanted)
