"""Documentation of the standard library as a collection: pinned records, and the rules on a library made up here."""

import logging
import os
import textwrap
from pathlib import Path

import pytest

from splade_lucene.datasets import Doc, check_ids
from splade_lucene.demo.stdlib import stdlib_documents
from splade_lucene.errors import FormatError


def write(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")


def read(folder: Path) -> dict[str, Doc]:
    return {doc.doc_id: doc for doc in stdlib_documents(folder)}


@pytest.fixture(scope="module")
def collection() -> list[Doc]:
    return list(stdlib_documents())


class TestCollection:
    def test_size(self, collection: list[Doc]) -> None:
        assert 4_300 <= len(collection) <= 5_500

    def test_sorted_unique_and_usable_ids(self, collection: list[Doc]) -> None:
        doc_ids = [doc.doc_id for doc in collection]
        assert doc_ids == sorted(set(doc_ids))
        check_ids(doc_ids, where="the standard library")

    def test_the_same_from_run_to_run(self, collection: list[Doc]) -> None:
        assert list(stdlib_documents()) == collection

    def test_public_names_only(self, collection: list[Doc]) -> None:
        parts = {part for doc in collection for part in doc.doc_id.split(".")}
        assert not {part for part in parts if part.startswith("_")}
        left_out = ["antigravity", "encodings", "idlelib", "lib2to3", "telnetlib", "test", "this", "tkinter"]
        assert not parts & set(left_out) - {"test"}  # http.server.test is a function
        assert not {doc.doc_id for doc in collection if doc.doc_id.startswith("test.")}

    def test_texts_say_something(self, collection: list[Doc]) -> None:
        assert all(len(doc.text.split()) >= 3 and doc.text == doc.text.strip() for doc in collection)
        assert all(doc.title.startswith(doc.doc_id) for doc in collection)

    # Docstrings that did not change between Python 3.12 and 3.14.
    @pytest.mark.parametrize(
        "doc",
        [
            Doc("tomllib.load", "tomllib.load(fp, /, *, parse_float=float)", "Parse TOML from a binary file object."),
            Doc(
                "heapq.heappush",
                "heapq.heappush(heap, item)",
                "Push item onto heap, maintaining the heap invariant.",
            ),
            Doc("shlex.quote", "shlex.quote(s)", "Return a shell-escaped version of the string *s*."),
            Doc(
                "datetime.date.weekday",
                "datetime.date.weekday()",
                "Return day of the week, where Monday == 0 ... Sunday == 6.",
            ),
            Doc("pathlib.PurePath.name", "pathlib.PurePath.name", "The final path component, if any."),
            Doc("threading", "threading", "Thread module emulating a subset of Java's threading model."),
        ],
        ids=lambda doc: doc.doc_id,
    )
    def test_pinned_records(self, collection: list[Doc], doc: Doc) -> None:
        assert doc in collection

    @pytest.mark.parametrize(
        "doc_id",
        [
            "argparse.ArgumentParser.add_argument",  # written in _ActionsContainer
            "asyncio.gather",  # asyncio/tasks.py
            "collections.abc.Mapping",  # _collections_abc.py
            "concurrent.futures.Future",  # concurrent/futures/_base.py
            "datetime.datetime.strptime",  # _pydatetime.py
            "decimal.Decimal.quantize",  # _pydecimal.py
            "io.open",  # _pyio.py
            "os.path.exists",  # genericpath.py, through posixpath.py
            "os.path.join",  # posixpath.py
            "pathlib.Path.exists",  # pathlib.py; pathlib/_abc.py on 3.13; pathlib/__init__.py on 3.14
            "unittest.TestCase.assertEqual",  # unittest/case.py
        ],
    )
    def test_things_have_the_names_that_programmers_use(self, collection: list[Doc], doc_id: str) -> None:
        assert doc_id in {doc.doc_id for doc in collection}


class TestRules:
    def test_nothing_is_executed(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        write(
            tmp_path / "lib",
            "trap.py",
            f'''
            """A module that must not run."""
            open({str(trace)!r}, "w").close()
            raise SystemExit("executed")
            def spring(force=open({str(trace)!r}, "w")):
                """Catch the careless reader."""
            ''',
        )
        assert set(read(tmp_path / "lib")) == {"trap", "trap.spring"}
        assert not trace.exists()

    def test_title_is_name_and_signature(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "m.py",
            '''
            def f(a: int, /, b: str = "x", *rest: int, c, d: float = 1.5, **others: object) -> None:
                """Has every kind of parameter."""
            async def g():
                """Is a coroutine function."""
            def h(long=("a very long default", "that nobody wants to read in a title")):
                """Has a long default."""
            class C:
                """Is made of two things."""
                def __init__(self, one, two=None): pass
                def method(self, x): "Takes a single argument."
                @staticmethod
                def static(x): "Takes a single argument."
                @classmethod
                def make(cls, /, x): "Takes a single argument."
                @property
                def size(self): "How large it is."
                def star(*args): "Takes self in args."
            class D(C):
                """Is made like its base."""
            class E:
                """Is made of nothing."""
            ''',
        )
        assert [doc.title for doc in stdlib_documents(tmp_path)] == [
            "m.C(one, two=None)",
            "m.C.make(x)",
            "m.C.method(x)",
            "m.C.size",
            "m.C.star(*args)",
            "m.C.static(x)",
            "m.D(one, two=None)",
            "m.E",
            "m.f(a, /, b='x', *rest, c, d=1.5, **others)",
            "m.g()",
            "m.h(long=...)",
        ]

    def test_text_is_the_cleaned_docstring(self, tmp_path: Path) -> None:
        write(tmp_path, "m.py", 'def f():\n    """\n    First line.\n\n      An indented one.\n    """\n')
        assert read(tmp_path)["m.f"].text == "First line.\n\n  An indented one."

    def test_class_without_docstring_takes_that_of_its_constructor(self, tmp_path: Path) -> None:
        write(tmp_path, "m.py", 'class C:\n    def __init__(self, x):\n        """Make one from x."""\n')
        assert read(tmp_path) == {"m.C": Doc("m.C", "m.C(x)", "Make one from x.")}

    def test_short_private_and_missing_docstrings_are_left_out(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "m.py",
            '''
            def two(): "Two words."
            def none(): pass
            def _private(): "Nobody should call this."
            class C:
                def __len__(self): "How many there are."
                def _hidden(self): "Nobody should call this."
            class _P:
                """Nobody should use this."""
            if __name__ == "__main__":
                def script(): "Only there in a script."
            ''',
        )
        write(tmp_path, "_helper.py", '"""A module that nobody should import."""\n')
        write(tmp_path, "test/m.py", '"""A test of something else."""\n')
        write(tmp_path, "test/__init__.py", '"""Tests of something else."""\n')
        write(tmp_path, "no_package/m.py", '"""Has no file that makes it a package."""\n')
        write(tmp_path, "not-a-name.py", '"""Cannot be imported by anyone."""\n')
        write(tmp_path, "one.py", '"""The one that stays."""\n')
        assert set(read(tmp_path)) == {"one"}

    def test_first_definition_with_a_docstring_stands(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            "m.py",
            """
            import sys
            if sys.platform == "win32":
                def f(): pass
            elif sys.platform == "darwin":
                def f(mac): "How it is done here."
            else:
                try:
                    def f(other): "How others do it."
                except ImportError:
                    def g(): "Only there without something."
            class C:
                @property
                def x(self): "What the getter says."
                @x.setter
                def x(self, value): "What the setter says."
            """,
        )
        assert read(tmp_path) == {
            "m.C.x": Doc("m.C.x", "m.C.x", "What the getter says."),
            "m.f": Doc("m.f", "m.f(mac)", "How it is done here."),
            "m.g": Doc("m.g", "m.g()", "Only there without something."),
        }

    def test_private_modules_fold_into_public_ones(self, tmp_path: Path) -> None:
        write(tmp_path, "_impl.py", '__all__ = ["f"]\ndef f(): "Does the real work."\ndef g(): "Is not given out."\n')
        write(tmp_path, "face.py", "from _impl import *\n")
        write(tmp_path, "_pydecimal.py", '"""Decimals, in Python."""\ndef getcontext(): "Returns the context."\n')
        write(tmp_path, "_named.py", 'class Thing: "Is used in two modules."\n')
        write(tmp_path, "owner.py", 'from _named import Thing as Item\n__all__ = ["Item"]\n')
        write(tmp_path, "user.py", "from _named import Thing\n__all__ = []\n")
        assert {doc.doc_id: doc.text for doc in stdlib_documents(tmp_path)} == {
            "decimal": "Decimals, in Python.",
            "decimal.getcontext": "Returns the context.",
            "face.f": "Does the real work.",
            "owner.Item": "Is used in two modules.",
        }

    def test_a_package_owns_what_it_takes_from_its_modules(self, tmp_path: Path) -> None:
        write(tmp_path, "other.py", 'def h(): "Belongs to another module."\n')
        write(
            tmp_path,
            "p/__init__.py",
            "from .tasks import *\nfrom p._base import Base\nfrom other import h\nfrom . import deep\n",
        )
        write(tmp_path, "p/tasks.py", '__all__ = ("run",)\ndef run(): "Runs a task."\ndef helper(): "Helps a task."\n')
        write(tmp_path, "p/_base.py", 'class Base:\n    "Is the base."\n    def m(self): "Is a method."\n')
        write(tmp_path, "p/deep/__init__.py", "from ..tasks import run\nfrom .._base import Base\n")
        assert set(read(tmp_path)) == {"other.h", "p.Base", "p.Base.m", "p.run", "p.tasks.helper"}

    def test_circular_imports_end(self, tmp_path: Path) -> None:
        write(tmp_path, "_a.py", "from _b import *\nfrom _b import x\n")
        write(tmp_path, "_b.py", "from _a import *\nfrom _a import x\nclass C(C): 'Is its own base.'\n")
        write(tmp_path, "a.py", "from _a import *\nfrom _a import C, x\n")
        assert set(read(tmp_path)) == {"a.C"}

    def test_members_of_private_bases_are_listed_under_the_public_class(self, tmp_path: Path) -> None:
        write(tmp_path, "_abc.py", "class Root:\n    def exists(self): 'Whether it is there.'\n")
        write(
            tmp_path,
            "m.py",
            """
            import _abc
            class _Mixin(_abc.Root):
                def read(self): "Read all of it."
                def close(self): "Close it for good."
            class Public(_Mixin):
                "Is there for everyone."
                def close(self): "Close it, then open it again."
            class Child(_Mixin, Public):
                "Is there for some."
                def exists(self): pass
            """,
        )
        assert {doc.doc_id: doc.text for doc in stdlib_documents(tmp_path)} == {
            "m.Child": "Is there for some.",
            "m.Public": "Is there for everyone.",
            "m.Public.close": "Close it, then open it again.",
            "m.Public.exists": "Whether it is there.",
            "m.Public.read": "Read all of it.",
        }

    def test_unreadable_files_are_left_out_and_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        write(tmp_path, "good.py", '"""A module that can be read."""\n')
        write(tmp_path, "p/__init__.py", "def broken(:\n")
        (tmp_path / "latin.py").write_bytes(b'"""Caf\xe9 without a declared encoding."""\n')
        (tmp_path / "null.py").write_bytes(b'"""A null\x00 byte inside."""\n')
        with caplog.at_level(logging.WARNING):
            assert set(read(tmp_path)) == {"good"}
        assert len(caplog.records) == 1
        message = caplog.records[0].getMessage()
        assert message.startswith("3 source files")
        assert all(name in message for name in ("p/__init__.py", "latin.py", "null.py", "SyntaxError"))

    def test_declared_encodings_are_read(self, tmp_path: Path) -> None:
        source = '# -*- coding: latin-1 -*-\n"""Café with a declared encoding."""\n'
        (tmp_path / "m.py").write_bytes(source.encode("latin-1"))
        assert read(tmp_path)["m"].text == "Café with a declared encoding."

    def test_odd_strings_in_a_source_do_not_warn(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
    ) -> None:
        (tmp_path / "m.py").write_bytes(b'"""A module with \\d in it."""\n')
        assert set(read(tmp_path)) == {"m"}
        assert not recwarn.list and not caplog.records

    @pytest.mark.parametrize("exists", [True, False])
    def test_a_folder_without_sources_is_an_error(self, tmp_path: Path, exists: bool) -> None:
        folder = tmp_path / "lib"
        if exists:
            folder.mkdir()
            (folder / "m.pyc").write_bytes(os.urandom(16))
        with pytest.raises(FormatError, match="no Python sources"):
            list(stdlib_documents(folder))
