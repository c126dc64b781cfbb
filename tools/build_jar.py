"""Build `splade_lucene/lucene/java/splade_lucene.jar` from the sources beside it.

The jar is committed, so that users need no compiler. Law: the same sources and the same JDK give the same bytes; the
manifest names the JDK, and `tests/structure/test_jar.py` rebuilds the jar wherever that JDK is found.

    python tools/build_jar.py              # needs javac: of $JAVA_HOME, of the usual JVM folder, or on the PATH
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

JAVA = Path(__file__).resolve().parent.parent / "splade_lucene" / "lucene" / "java"
JAR = JAVA / "splade_lucene.jar"
RELEASE = "21"  # the oldest Java that Pyserini runs on


def javac_version(javac: Path) -> str | None:
    """The full version of a compiler, `25.0.3`, or None if it does not run."""
    try:
        said = subprocess.run([javac, "-version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"javac (\S+)", said)
    return found[1] if found else None


def compilers() -> Iterator[Path]:
    """The compilers of this machine, in the order in which they are tried."""
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "javac"
    yield from sorted(Path("/usr/lib/jvm").glob("*/bin/javac"), reverse=True)
    if found := shutil.which("javac"):
        yield Path(found)


def find_javac(version: str | None = None) -> Path | None:
    """The first compiler of exactly this version, or of any that knows `--release 21`."""
    for javac in compilers():
        found = javac_version(javac)
        if found and (found == version if version else int(found.split(".")[0]) >= int(RELEASE)):
            return javac
    return None


def built_with(jar: Path = JAR) -> str:
    """The version of the compiler that a jar names in its manifest."""
    with zipfile.ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF").decode()
    found = re.search(r"^Build-Jdk: (\S+)", manifest, re.MULTILINE)
    if not found:
        raise ValueError(f"{jar}: its manifest does not name the JDK that built it")
    return found[1]


def anserini_jar() -> Path:
    """Pyserini's jar: Lucene and Anserini, against which our classes are compiled."""
    spec = find_spec("pyserini")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("Pyserini is not installed here; run this with the project's environment")
    jars = Path(spec.submodule_search_locations[0]) / "resources" / "jars"
    return next(jars.glob("anserini-*-fatjar.jar"))


def build(javac: Path, output: Path) -> None:
    """Compile all sources and write the jar: entries sorted, dated 1980, not compressed (zlibs differ)."""
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder)
        sources = sorted((JAVA / "splade_lucene").glob("*.java"))
        options = ["--release", RELEASE, "-encoding", "UTF-8", "-g", "-Xlint:all,-path", "-Werror"]
        subprocess.run([javac, *options, "-cp", anserini_jar(), "-d", classes, *sources], check=True)
        part = output.with_suffix(".part")  # a JVM that runs from the old jar must not see it change
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as jar:
            manifest = f"Manifest-Version: 1.0\r\nBuild-Jdk: {javac_version(javac)}\r\n\r\n"
            jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), manifest)
            for file in sorted(classes.rglob("*.class")):
                jar.writestr(zipfile.ZipInfo(file.relative_to(classes).as_posix()), file.read_bytes())
        part.replace(output)


def main() -> None:
    """Build the jar where it belongs, or at --output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=JAR)
    output = parser.parse_args().output
    javac = find_javac()
    if javac is None:
        sys.exit(f"no javac >= {RELEASE} found; set JAVA_HOME to a JDK")
    build(javac, output)
    print(f"{output}: built by javac {javac_version(javac)}, {output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
