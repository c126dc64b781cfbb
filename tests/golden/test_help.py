"""What `--help` says of each verb; boxes and spacing are typer's business and are left out."""

import re
import subprocess
from collections.abc import Callable

import pytest
import typer.main

from splade_lucene.cli import app
from tests.integration.support import PROGRAM, environment

VERBS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_the_help_of(verb: str, golden: Callable[[str, str], None]) -> None:
    command = [*PROGRAM, *verb.split(), "--help"]
    wide = environment(COLUMNS="200", TERMINAL_WIDTH="200")
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=wide).stdout
    lines = (re.sub(r"[─╭╮╰╯│ ]+", " ", line).strip() for line in said.splitlines())
    golden(f"help{'-' * bool(verb)}{verb}.txt", "\n".join(filter(None, lines)) + "\n")
