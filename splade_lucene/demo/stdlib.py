"""The documentation of Python's standard library as a collection: one document for each docstring.

Modules, classes, functions, methods and properties, read with `ast` from the sources of the interpreter that
runs this. May import `datasets` and `errors`; needs neither torch nor a JVM.

Law: nothing that is read is imported or executed, and the same sources give the same documents in the same
order, whatever the platform.

Which documents there are:

* Public things only: no part of a doc_id starts with an underscore. Modules that nobody looks things up in
  (tests, IDLE, codec tables, demos), those that PEP 594 removed in Python 3.13, and tkinter, which some
  systems package apart, are left out, so that the same questions meet the same documents everywhere.
* A thing is called what a programmer calls it. What a package takes from its own submodules, or a module from
  a private one, belongs to the importer: `asyncio/tasks.py` defines `asyncio.gather`, `_pydatetime.py`
  defines `datetime.date`, `pathlib/_local.py` defines `pathlib.Path`. Of several such names the one with the
  fewest parts wins, then the first in the alphabet.
* A member that a class has from a private base class is listed under that class
  (`argparse.ArgumentParser.add_argument`, written in `_ActionsContainer`); what it has from a public one is
  listed there only.
* Where one name is defined several times (a branch per platform, a getter and its setter), the first
  definition with a docstring stands; a class without one takes that of its `__init__`.
* Docstrings of fewer than MIN_WORDS words say nothing and are dropped.
"""

import ast
import logging
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from splade_lucene.datasets import Doc
from splade_lucene.errors import FormatError

logger = logging.getLogger(__name__)

MIN_WORDS = 3
MAX_DEFAULT_CHARS = 40

# Names of modules and folders, at any depth: what nobody looks up here, and what PEP 594 removed.
_LEFT_OUT = """
antigravity dist-packages encodings ensurepip idlelib lib2to3 ntpath nturl2path pydoc_data site-packages
sre_compile sre_constants sre_parse test tests this tkinter turtledemo

aifc audioop cgi cgitb chunk crypt imghdr mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau
telnetlib uu xdrlib
"""
_IS_LEFT_OUT = frozenset(["__main__", *_LEFT_OUT.split()])
# Public modules whose Python source has another name. The twin of a module written in C says in Python what
# it does; os.path is posixpath everywhere, so that Windows reads the same documents.
_TWINS = {
    "collections.abc": "_collections_abc",
    "datetime": "_pydatetime",
    "decimal": "_pydecimal",
    "io": "_pyio",
    "os.path": "posixpath",
}
_INTERNAL = frozenset(["genericpath", "posixpath"])  # private, though their names do not show it

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef


@dataclass(frozen=True)
class _Module:
    """One source file: its name in the import system, and what it defines and imports at its top level."""

    name: str
    docstring: str = ""
    definitions: dict[str, list[_Definition]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, name there)
    modules: dict[str, str] = field(default_factory=dict)  # local name -> module
    stars: list[str] = field(default_factory=list)  # modules of `from module import *`
    exported: frozenset[str] | None = None  # __all__ where it can be read without running it


@dataclass(frozen=True, order=True)
class _Key:
    """Where a thing is written: the module's own name, and the name in it."""

    module: str
    name: str


def stdlib_documents(lib: Path | None = None) -> Iterator[Doc]:
    """The docstrings under `lib` as documents (title = dotted name and signature), sorted by doc_id.

    Args:
        lib: folder of the standard library; the one of the running interpreter where it is None.

    Raises:
        FormatError: `lib` holds no Python source that can be read.

    A source file that cannot be read or parsed is left out; one warning counts and names them all. The whole
    collection (some megabytes) is in memory when its first document is given out.
    """
    folder = Path(sysconfig.get_path("stdlib")) if lib is None else lib
    library = _Library(folder)
    documents = library.documents()
    if library.unreadable:
        logger.warning(
            "%d source files of %s cannot be read and are left out: %s",
            len(library.unreadable),
            folder,
            "; ".join(library.unreadable),
        )
    if not documents:
        raise FormatError(
            f"{folder}: no Python sources with docstrings there (a zipped or compiled standard library?). "
            "Run a Python that has its sources, or name the folder that holds them."
        )
    for doc_id in sorted(documents):
        yield documents[doc_id]


class _Library:
    """The sources under one folder, each parsed when it is first asked for: private ones only if needed."""

    def __init__(self, folder: Path) -> None:
        self.unreadable: list[str] = []
        self._folder = folder
        self._paths = dict(_source_files(folder))
        self._modules: dict[str, _Module | None] = {}
        self._public: dict[_Key, str] = {}

    def documents(self) -> dict[str, Doc]:
        """Every document by its doc_id."""
        twins = {name for name, twin in _TWINS.items() if twin in self._paths}
        names = sorted(twins | set(filter(_is_public_module, self._paths)))
        modules = [module for module in map(self.module, names) if module is not None]
        self._public = self._name_definitions(modules)
        documents: dict[str, Doc] = {}
        for module in modules:
            twin = self.module(_TWINS.get(module.name, ""))
            _add(documents, module.name, module.name, module.docstring or (twin.docstring if twin else ""))
        # A module's own definitions come before what it takes from others, so that its own docstring stands.
        ordered = sorted(self._public.items(), key=lambda item: (item[1], _is_folded(*item), item[0]))
        for key, doc_id in ordered:
            for definition in self._definitions(key):
                if isinstance(definition, ast.ClassDef):
                    self._add_class(documents, doc_id, key, definition)
                else:
                    _add_function(documents, doc_id, definition, skip_first=False)
        return documents

    def module(self, name: str) -> _Module | None:
        """The module of this name, None where there is none that can be read."""
        if name not in self._modules:
            path = self._paths.get(name)
            if path is not None:
                self._modules[name] = self._parse(name, path)
            else:
                self._modules[name] = _Module(name) if name in _TWINS else None
        return self._modules[name]

    def _parse(self, name: str, path: Path) -> _Module | None:
        try:
            with warnings.catch_warnings():
                # Invalid escapes in somebody's string are not our reader's concern.
                warnings.simplefilter("ignore", SyntaxWarning)
                warnings.simplefilter("ignore", DeprecationWarning)
                tree = ast.parse(path.read_bytes(), filename=path.name)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = path.relative_to(self._folder).as_posix()
            self.unreadable.append(f"{where} ({type(error).__name__}: {error})")
            return None
        return _read_module(name, tree, is_package=path.name == "__init__.py")

    def _name_definitions(self, modules: list[_Module]) -> dict[_Key, str]:
        """The public name of every top-level definition that has one."""
        names: dict[_Key, str] = {}
        for module in modules:
            own = ((_Key(module.name, name), name) for name in module.definitions)
            for key, name in chain(own, self._reexports(module)):
                doc_id = f"{module.name}.{name}"
                if _is_public(name) and (key not in names or _preference(doc_id) < _preference(names[key])):
                    names[key] = doc_id
        return names

    def _reexports(self, module: _Module) -> Iterator[tuple[_Key, str]]:
        """What `module` offers as its own though it is written in its submodules or in a private module."""

        def implements(source: str) -> bool:
            return not _is_public_module(source) or source.startswith(f"{module.name}.")

        def written(source: str, names: Iterable[str]) -> Iterator[tuple[_Key, str]]:
            for name in names:
                key = self._resolve(source, name)
                if key is not None and implements(key.module):
                    yield key, name

        for name, (source, source_name) in module.imports.items():
            # Without a look at __all__, WeakSet would be threading's as well as weakref's.
            if implements(source) and (module.exported is None or name in module.exported):
                yield from ((key, name) for key, _ in written(source, [source_name]))
        for source in [*module.stars, *([_TWINS[module.name]] if module.name in _TWINS else [])]:
            if implements(source):
                yield from written(source, self._star(source))

    def _star(self, name: str) -> list[str]:
        """The names that `from name import *` brings."""
        module = self.module(name)
        if module is None:
            return []
        if module.exported is not None:
            return sorted(module.exported)
        return sorted(filter(_is_public, [*module.definitions, *module.imports]))

    def _resolve(self, module_name: str, name: str, seen: frozenset[_Key] = frozenset()) -> _Key | None:
        """Where `module_name.name` is written: None, if that is no definition in a source we have."""
        key = _Key(module_name, name)
        module = None if key in seen else self.module(module_name)
        if module is None:
            return None
        if name in module.definitions:
            return key
        if name in module.imports:
            return self._resolve(*module.imports[name], seen | {key})
        found = (self._resolve(source, name, seen | {key}) for source in module.stars)
        return next((key for key in found if key is not None), None)

    def _definitions(self, key: _Key) -> list[_Definition]:
        module = self.module(key.module)
        return [] if module is None else module.definitions.get(key.name, [])

    def _bases(self, key: _Key, definition: ast.ClassDef) -> Iterator[_Key]:
        """Where the base classes are written, as far as that can be read."""
        module = self.module(key.module)
        assert module is not None  # it holds the definition
        for base in definition.bases:
            key_of_base = None
            match base:
                case ast.Name(id=name):
                    key_of_base = self._resolve(module.name, name)
                case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in module.modules:
                    key_of_base = self._resolve(module.modules[name], attribute)
            if key_of_base is not None:
                yield key_of_base

    def _classes(self, key: _Key, seen: frozenset[_Key] = frozenset()) -> Iterator[tuple[_Key, ast.ClassDef]]:
        """The class written at `key` and then its ancestors, depth first."""
        if key in seen:
            return
        for definition in self._definitions(key):
            if isinstance(definition, ast.ClassDef):
                yield key, definition
                for base in self._bases(key, definition):
                    yield from self._classes(base, seen | {key})

    def _add_class(self, documents: dict[str, Doc], doc_id: str, key: _Key, definition: ast.ClassDef) -> None:
        bases = list(self._bases(key, definition))
        ancestors = [ancestor for base in bases for ancestor in self._classes(base, frozenset({key}))]
        public = [ancestor for ancestor, _ in ancestors if ancestor in self._public]
        below_public = {below for ancestor in public for below, _ in self._classes(ancestor)}
        private = [node for ancestor, node in ancestors if ancestor not in below_public]
        text = ast.get_docstring(definition)
        if text is None and (own_constructor := _constructor([definition])):
            text = ast.get_docstring(own_constructor)
        constructor = _constructor([definition, *(node for _, node in ancestors)])
        title = doc_id if constructor is None else doc_id + _signature(constructor.args, skip_first=True)
        _add(documents, doc_id, title, text)
        for node in [definition, *private]:
            for member in _statements(node.body):
                if not isinstance(member, _Definition) or not _is_public(member.name):
                    continue
                member_id = f"{doc_id}.{member.name}"
                if isinstance(member, ast.ClassDef):
                    member_key = _Key(key.module, f"{key.name}.{member.name}")
                    self._add_class(documents, member_id, member_key, member)
                else:
                    _add_function(documents, member_id, member, skip_first=True)


def _source_files(folder: Path, package: str = "") -> Iterator[tuple[str, Path]]:
    """(module name, path) of the Python sources in `folder` and the packages below it."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        name = path.name.removesuffix(".py")
        if not name.isidentifier() or name in _IS_LEFT_OUT:
            continue
        module = f"{package}.{name}" if package else name
        if path.is_dir() and (path / "__init__.py").is_file():
            yield module, path / "__init__.py"
            yield from _source_files(path, module)
        elif path.suffix == ".py" and name != "__init__":
            yield module, path


def _read_module(name: str, tree: ast.Module, *, is_package: bool) -> _Module:
    definitions: dict[str, list[_Definition]] = {}
    imports: dict[str, tuple[str, str]] = {}
    modules: dict[str, str] = {}
    stars: list[str] = []
    exported: frozenset[str] | None = None
    for statement in _statements(tree.body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                definitions.setdefault(statement.name, []).append(statement)
            case ast.ImportFrom():
                source = _absolute(name, statement, is_package=is_package)
                for alias in statement.names:
                    if alias.name == "*":
                        stars.append(source)
                    else:
                        imports.setdefault(alias.asname or alias.name, (source, alias.name))
                        modules.setdefault(alias.asname or alias.name, f"{source}.{alias.name}")
            case ast.Import():
                for alias in statement.names:
                    modules.setdefault(alias.asname or alias.name, alias.name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() | ast.Tuple() as value):
                exported = _strings(value)
            case ast.AugAssign(target=ast.Name(id="__all__"), value=ast.List() | ast.Tuple() as value):
                exported = (exported or frozenset()) | _strings(value)
    docstring = ast.get_docstring(tree) or ""
    return _Module(name, docstring, definitions, imports, modules, stars, exported)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, those under if, try and with included, whichever branch would run."""
    for statement in body:
        yield statement
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass  # what a module does as a script is not what it offers
            case ast.If():
                yield from _statements(statement.body + statement.orelse)
            case ast.Try():
                handlers = chain.from_iterable(handler.body for handler in statement.handlers)
                yield from _statements([*statement.body, *handlers, *statement.orelse, *statement.finalbody])
            case ast.With():
                yield from _statements(statement.body)


def _absolute(module: str, statement: ast.ImportFrom, *, is_package: bool) -> str:
    """The module that `from ... import` names, without leading dots."""
    if not statement.level:
        return statement.module or ""
    package = module.split(".")
    package = package[: len(package) - statement.level + is_package]
    return ".".join([*package, statement.module] if statement.module else package)


def _strings(sequence: ast.List | ast.Tuple) -> frozenset[str]:
    return frozenset(
        item.value for item in sequence.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)
    )


def _is_public(dotted_name: str) -> bool:
    return not any(part.startswith("_") for part in dotted_name.split("."))


def _is_public_module(name: str) -> bool:
    return _is_public(name) and name not in _INTERNAL


def _is_folded(key: _Key, doc_id: str) -> bool:
    return f"{key.module}.{key.name}" != doc_id


def _preference(doc_id: str) -> tuple[int, str]:
    return doc_id.count("."), doc_id


def _constructor(classes: list[ast.ClassDef]) -> _Function | None:
    """What a call of the first of `classes` (a class, then its ancestors) runs."""
    for node in classes:
        methods = {member.name: member for member in reversed(node.body) if isinstance(member, _Function)}
        for name in ("__init__", "__new__"):
            if name in methods:
                return methods[name]
    return None


def _add_function(documents: dict[str, Doc], doc_id: str, function: _Function, *, skip_first: bool) -> None:
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in function.decorator_list}
    if decorators & {"property", "cached_property", "setter", "getter", "deleter", "abstractproperty"}:
        title = doc_id
    else:
        title = doc_id + _signature(function.args, skip_first=skip_first and "staticmethod" not in decorators)
    _add(documents, doc_id, title, ast.get_docstring(function))


def _add(documents: dict[str, Doc], doc_id: str, title: str, text: str | None) -> None:
    if text and len(text.split()) >= MIN_WORDS:
        documents.setdefault(doc_id, Doc(doc_id, title, text.strip()))


def _signature(arguments: ast.arguments, *, skip_first: bool) -> str:
    """The parameters in parentheses, with their defaults and without annotations."""

    def bare(parameter: ast.arg) -> ast.arg:
        return ast.arg(arg=parameter.arg)

    def short(default: ast.expr) -> ast.expr:
        return default if len(ast.unparse(default)) <= MAX_DEFAULT_CHARS else ast.Constant(value=...)

    positional = [bare(parameter) for parameter in arguments.posonlyargs]
    either = [bare(parameter) for parameter in arguments.args]
    if skip_first:
        positional, either = (positional[1:], either) if positional else (positional, either[1:])
    defaults = [short(default) for default in arguments.defaults]
    signature = ast.arguments(
        posonlyargs=positional,
        args=either,
        vararg=bare(arguments.vararg) if arguments.vararg else None,
        kwonlyargs=[bare(parameter) for parameter in arguments.kwonlyargs],
        kw_defaults=[short(default) if default else None for default in arguments.kw_defaults],
        kwarg=bare(arguments.kwarg) if arguments.kwarg else None,
        # A default that belonged to the skipped parameter goes with it.
        defaults=defaults[max(0, len(defaults) - len(positional) - len(either)) :],
    )
    return f"({ast.unparse(signature)})"
