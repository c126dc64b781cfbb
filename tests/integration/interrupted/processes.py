"""Processes that are stopped in the phase that is meant, which their threads' names or their files tell."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from splade_lucene.lucene.block_files import PREFIXES
from splade_lucene.lucene.index import ImpactIndex
from tests.integration.support import PATIENCE, clean

Phase = Callable[[int], bool]

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="a process's phases are read from Linux's /proc"
)


def has_thread(name: str) -> Phase:
    """A phase in which a process has a thread whose name begins so."""

    def there(process: int) -> bool:
        for file in Path(f"/proc/{process}/task").glob("*/comm"):
            try:
                if file.read_text().startswith(name):
                    return True
            except OSError:  # the thread has ended since
                continue
        return False

    return there


def has_file(folder: Path, pattern: str) -> Phase:
    """A phase in which there is such a file."""
    return lambda process: any(folder.glob(pattern))


def wait_for(process: subprocess.Popen[str], phase: Phase) -> None:
    end = time.monotonic() + PATIENCE
    while not phase(process.pid):
        assert process.poll() is None, f"it ended before that phase: {process.communicate()}"
        assert time.monotonic() < end, "that phase does not come"
        time.sleep(0.002)


def wait_for_or_end(process: subprocess.Popen[str], phase: Phase) -> None:
    """Wait for a phase that may be over before it is seen."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not phase(process.pid):
        assert time.monotonic() < end, "it hangs"


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C: the process ends with 130 and says nothing of its insides."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, ""), err
    assert clean(err)


def expect_old(path: Path) -> None:
    """The old index is there, whole, and nothing else is beside or in it."""
    with ImpactIndex(path) as index:
        index.check()
        assert (len(index), index.postings("word")) == (1, {"old": 1})
    names = {file.name.split(".")[0].split("_Lucene")[0].split("-")[0] for file in path.iterdir()}
    assert names == {"_0", "segments_1", "write", *PREFIXES}
    assert [len(list(path.glob(f"{kind}-*"))) for kind in PREFIXES] == [1, 1]
    assert [file.name for file in path.parent.iterdir() if file.name.startswith(".")] == []
