"""What the README shows works as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from splade_lucene.cli import app
from tests.helpers import ROOT
from tests.integration.support import PATIENCE, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """The fenced blocks of these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every `splade-lucene …` in the README's shell blocks, as its words."""
    lines = "\n".join(blocks(README, "sh", "console")).replace("\\\n", " ").splitlines()
    words = (shlex.split(line.removeprefix("$ "), comments=True) for line in lines if "splade-lucene " in line)
    return [line[line.index("splade-lucene") + 1 :] for line in words if "splade-lucene" in line]


@pytest.mark.jvm
def test_the_example_in_python_runs(tmp_path: Path) -> None:
    (code, *_) = blocks(README.partition("\n## In Python\n")[2], "python")
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_its_verb_and_options(words: list[str]) -> None:
    tree = typer.main.get_command(app)
    verb = next(word for word in words if not word.startswith("-"))
    known = {option for each in tree.params for option in each.opts}
    assert verb in tree.commands  # type: ignore[attr-defined]
    known |= {option for each in tree.commands[verb].params for option in (*each.opts, *each.secondary_opts)}  # type: ignore[attr-defined]
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_there_are_such_commands() -> None:
    assert {"encode", "index", "search", "evaluate"} <= {words[0] for words in commands()}
