"""What `import splade_lucene` offers: what it says, no more, and each with a word of explanation."""

import ast
import inspect

import pytest

import splade_lucene
from splade_lucene import errors
from tests.helpers import ROOT


def test_all_is_sorted_and_is_what_the_package_has() -> None:
    assert splade_lucene.__all__ == sorted(set(splade_lucene.__all__))
    assert set(splade_lucene.__all__) == splade_lucene._HOME.keys()
    assert dir(splade_lucene) == sorted([*splade_lucene.__all__, "__version__"])


def test_type_checkers_see_the_same_names() -> None:
    """The imports under TYPE_CHECKING name the same things from the same modules."""
    tree = ast.parse((ROOT / "splade_lucene" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: (node.module or "").removeprefix("splade_lucene.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == splade_lucene._HOME


@pytest.mark.parametrize("name", splade_lucene.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    found = getattr(splade_lucene, name)
    assert found.__name__ == name
    assert inspect.getdoc(found)
    assert found.__module__.startswith("splade_lucene.")


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'splade_lucene' has no attribute 'Searchr'"):
        _ = splade_lucene.Searchr


def test_every_error_is_drawn_in_the_tree_below_its_parent() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if line.strip().split(" ")[0].endswith("Error")]
    depth = {line.split()[0]: len(line) - len(line.lstrip()) for line in drawn}
    classes = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    assert depth.keys() == classes.keys()
    for name, each in classes.items():
        if name != "SpladeLuceneError":
            assert depth[name] == depth[each.__bases__[0].__name__] + 2
