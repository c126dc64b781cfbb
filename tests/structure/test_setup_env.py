"""tools/setup_env.sh on machines made of shell scripts: nothing is installed, and what would be is written down."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = shutil.which("sh") or "sh"

# A Python of a version of our choice. It runs what it is given, makes folders with itself inside for environments,
# and writes down what its pip was asked for; `pip install uv` brings a uv if the machine offers one.
PYTHON = """#!{shell}
case "$1 $2" in
"-V ") echo "Python {dotted}" ;;
"-m venv") {venv} && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip") shift 2; echo "pip $*" >>"$LOG"
    case "$*" in *" uv") [ -z "$OFFERED_UV" ] || cp "$OFFERED_UV" .venv/bin/uv ;; esac
    {pip} ;;
-c*) exec "{python}" -c 'import sys
sys.version_info, sys.executable = {version}, sys.argv[2]
exec(sys.argv[1])' "$2" "$0" ;;
esac
"""
UV = """#!{shell}
case $1 in
--version) echo uv 1.0 ;;
venv) for folder; do :; done; mkdir -p "$folder/bin"; cp "$PYTHON" "$folder/bin/python"; echo "uv venv" >>"$LOG" ;;
*) echo "uv $*" >>"$LOG"; {result} ;;
esac
"""
SHIM = "#!{shell}\necho 'pyenv: command not found' >&2\nexit 127\n"


class Machine:
    """A PATH, a home folder and a source tree that hold what a test puts there and nothing else."""

    def __init__(self, root: Path) -> None:
        self.path, self.home, self.tree, self.log = (root / name for name in ("bin", "home", "a source tree", "log"))
        for folder in (self.path, self.home, self.tree / "tools"):
            folder.mkdir(parents=True)
        for tool in ("cat", "cp", "dirname", "mkdir", "mv", "rm"):
            (self.path / tool).symlink_to(shutil.which(tool) or "")
        for name in ("setup.cfg", "pyproject.toml", "tools/setup_env.sh"):
            shutil.copy(ROOT / name, self.tree / name)
        self.environment = {"PATH": str(self.path), "HOME": str(self.home), "LOG": str(self.log), "OFFERED_UV": ""}

    def write(self, path: Path, script: str, **values: object) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script.format(shell=SHELL, **values))
        path.chmod(0o755)
        return str(path)

    def python(self, path: Path, *version: int, venv: str = "true", pip: str = "true") -> str:
        dotted = ".".join(map(str, version))
        return self.write(path, PYTHON, python=sys.executable, version=version, dotted=dotted, venv=venv, pip=pip)

    def shim(self, path: Path) -> str:
        return self.write(path, SHIM)

    def uv(self, path: Path, result: str = "true") -> str:
        return self.write(path, UV, result=result)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [SHELL, str(self.tree / "tools" / "setup_env.sh"), *arguments]
        return subprocess.run(command, env=self.environment | environment, capture_output=True, text=True, check=False)

    def found(self, **environment: str) -> str:
        result = self.run("--find-python", **environment)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout.strip()

    def refusal(self, *arguments: str, **environment: str) -> str:
        result = self.run(*arguments, **environment)
        assert result.returncode == 1
        return result.stderr

    def set_up(self, *arguments: str, **environment: str) -> list[str]:
        """Run the set-up and return what was installed by it."""
        self.log.write_text("")
        result = self.run(*arguments, **environment)
        assert result.returncode == 0, result.stderr
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


UV_BASE = "uv pip install --python .venv/bin/python --editable ."
UV_TEST = UV_BASE + "[test]"


# Finding


def test_the_newest_python_on_the_path_is_found(machine: Machine) -> None:
    machine.python(machine.path / "python3", 3, 13, 5)
    machine.python(machine.path / "python3.12", 3, 12, 1)
    newest = machine.python(machine.path / "python3.13", 3, 13, 5)
    assert machine.found() == newest


def test_shims_that_do_not_run_are_passed_over(machine: Machine) -> None:
    machine.shim(machine.path / "python3.14")
    machine.shim(machine.path / "python3.13")
    runs = machine.python(machine.path / "python3.12", 3, 12, 1)
    assert machine.found() == runs


def test_pyenv_is_looked_into_when_only_its_shims_are_on_the_path(machine: Machine) -> None:
    for name in ("python3", "python3.12", "python3.13"):
        machine.shim(machine.path / name)
    versions = machine.home / ".pyenv" / "versions"
    machine.python(versions / "3.11.7" / "bin" / "python", 3, 11, 7)
    machine.python(versions / "3.12.1" / "bin" / "python", 3, 12, 1)
    machine.python(
        versions / "3.14.0t" / "bin" / "python", 3, 14, 0
    )  # without the GIL: few packages have wheels for it
    newest = machine.python(versions / "3.13.0" / "bin" / "python", 3, 13, 0)
    assert machine.found() == newest


def test_pyenv_elsewhere_is_found_by_its_variable(machine: Machine, tmp_path: Path) -> None:
    python = machine.python(tmp_path / "py env" / "versions" / "3.12.1" / "bin" / "python", 3, 12, 1)
    assert machine.found(PYENV_ROOT=str(tmp_path / "py env")) == python


def test_plain_python3_is_the_last_resort_and_may_be_newer_than_we_know(machine: Machine) -> None:
    python = machine.python(machine.path / "python3", 3, 15, 0)
    assert machine.found() == python


def test_the_variable_goes_before_everything(machine: Machine, tmp_path: Path) -> None:
    machine.python(machine.path / "python3.14", 3, 14, 0)
    mine = machine.python(tmp_path / "my own" / "python", 3, 12, 1)
    assert machine.found(PYTHON=mine) == mine


def test_no_python_is_said_with_the_way_out(machine: Machine) -> None:
    machine.python(machine.path / "python3", 3, 11, 7)
    message = machine.refusal("--find-python")
    assert "no Python 3.12 or newer" in message
    assert "PYTHON=/path/to/python3.12" in message


def test_a_variable_that_is_too_old_is_refused_though_others_would_do(machine: Machine) -> None:
    machine.python(machine.path / "python3.13", 3, 13, 0)
    old = machine.python(machine.path / "old", 3, 11, 7)
    assert machine.refusal("--find-python", PYTHON=old) == (
        f"setup: PYTHON={old} is Python 3.11.7. Name a Python 3.12 or newer.\n"
    )


@pytest.mark.parametrize("name", ["/no/such/python", "python3.12"])
def test_a_variable_that_does_not_run_is_refused(machine: Machine, name: str) -> None:
    machine.python(machine.path / "python3.13", 3, 13, 0)
    machine.shim(machine.path / "python3.12")
    assert machine.refusal("--find-python", PYTHON=name) == (
        f"setup: PYTHON={name} does not run. Name a Python 3.12 or newer.\n"
    )


def test_the_script_finds_a_python_on_this_machine_too() -> None:
    """The real PATH, with the interpreter that runs the tests as the one that is certainly there."""
    environment = os.environ | {"PYTHON": sys.executable}
    command = [SHELL, str(ROOT / "tools" / "setup_env.sh"), "--find-python"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).samefile(sys.executable)


# Installing, and not installing again


@pytest.fixture
def ready(machine: Machine) -> Machine:
    machine.python(machine.path / "python3.12", 3, 12, 1)
    machine.uv(machine.path / "uv")
    return machine


def test_a_second_run_installs_nothing(ready: Machine) -> None:
    assert ready.set_up() == [UV_BASE]
    assert ready.set_up() == []


def test_test_after_demo_adds_the_extra_and_demo_after_test_adds_nothing(ready: Machine) -> None:
    assert ready.set_up() == [UV_BASE]
    assert ready.set_up("test") == [UV_TEST]
    assert ready.set_up("test") == []
    assert ready.set_up() == []


def test_demo_after_test_installs_nothing(ready: Machine) -> None:
    assert ready.set_up("test") == [UV_TEST]
    assert ready.set_up() == []


@pytest.mark.parametrize("name", ["setup.cfg", "pyproject.toml"])
def test_a_changed_declaration_is_installed(ready: Machine, name: str) -> None:
    ready.set_up("test")
    with (ready.tree / name).open("a") as file:
        file.write("# one more line\n")
    assert ready.set_up() == [UV_BASE]
    assert ready.set_up("test") == [UV_TEST]
    assert ready.set_up("test") == []


def test_a_failed_installation_is_not_taken_for_a_complete_one(machine: Machine) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1, pip="exit 1")
    machine.uv(machine.path / "uv", result="exit 1")
    assert "the installation failed" in machine.refusal("test")
    machine.uv(machine.path / "uv")
    assert machine.set_up() == [UV_BASE]


def test_an_interrupted_installation_stops_there(ready: Machine) -> None:
    ready.uv(ready.path / "uv", result="kill -INT $PPID; exit 130")
    assert ready.run().returncode == 130
    assert ready.log.read_text().splitlines() == [UV_BASE]
    ready.uv(ready.path / "uv")
    assert ready.set_up() == [UV_BASE]


def test_an_environment_whose_interpreter_is_gone_is_made_again(ready: Machine) -> None:
    ready.set_up()
    python = ready.tree / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    assert ready.set_up() == [UV_BASE]


def test_an_environment_that_was_not_finished_is_made_again(machine: Machine) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1, venv='mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && false')
    machine.refusal()
    machine.python(machine.path / "python3.12", 3, 12, 1)
    machine.uv(machine.path / "uv")
    (machine.tree / ".venv" / "left-over").touch()
    assert machine.set_up() == [UV_BASE]
    assert not (machine.tree / ".venv" / "left-over").exists()


def test_an_environment_that_came_along_with_a_moved_tree_is_made_again(ready: Machine) -> None:
    ready.set_up()
    ready.tree = ready.tree.rename(ready.home / "moved")
    assert ready.set_up() == [UV_BASE]
    assert ready.set_up() == []


def test_an_environment_made_by_hand_is_kept(ready: Machine) -> None:
    ready.python(ready.tree / ".venv" / "bin" / "python", 3, 13, 0)
    (ready.tree / ".venv" / "theirs").touch()
    assert ready.set_up() == [UV_BASE]
    assert (ready.tree / ".venv" / "theirs").exists()


# With and without uv


def test_uv_is_fetched_where_there_is_none(machine: Machine, tmp_path: Path) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1)
    machine.shim(machine.path / "uv")
    offered = machine.uv(tmp_path / "offered" / "uv")
    assert machine.set_up(OFFERED_UV=offered) == ["pip install --quiet uv", UV_BASE]


def test_pip_does_it_where_uv_cannot_be_fetched(machine: Machine) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1, pip='[ "$*" != "install --quiet uv" ]')
    assert machine.set_up("test") == ["pip install --quiet uv", "pip install --editable .[test]"]


def test_pip_does_it_where_uv_fails(machine: Machine) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1)
    machine.uv(machine.path / "uv", result="exit 2")
    assert machine.set_up() == [UV_BASE, "pip install --editable ."]


def test_uv_makes_the_environment_where_venv_is_missing(machine: Machine) -> None:
    python = machine.python(machine.path / "python3.12", 3, 12, 1, venv="false")
    machine.uv(machine.path / "uv")
    assert machine.set_up(PYTHON=python) == ["uv venv", UV_BASE]


def test_a_python_without_venv_is_said_with_the_way_out(machine: Machine) -> None:
    machine.python(machine.path / "python3.12", 3, 12, 1, venv="false")
    message = machine.refusal()
    assert "cannot make a virtual environment" in message
    assert "python3-venv" in message


def test_a_wrong_option_is_refused(machine: Machine) -> None:
    assert "usage" in machine.refusal("--no-such-option")
