"""The examples of the README and of the documentation run, and print what stands there."""

import doctest
import importlib
import re
import sys
import types
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.example import SybilFailure
from sybil.parsers.rest import DocTestParser, PythonCodeBlockParser

from batchup.testing import AccessorContract, RandomAccessSourceContract, SamplerContract

ROOT = Path(__file__).parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    if "_build" not in path.parts
]

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NEEDS = re.compile(r"^\.\. needs: (.+)$", re.MULTILINE)  # a comment of pages that use optional libraries
READER = Sybil(parsers=[DocTestParser(OPTIONS), PythonCodeBlockParser()])


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Examples write their files here."""
    monkeypatch.chdir(tmp_path)


def needs(page):
    """The libraries that a page says it needs: ``.. needs: torch, timm``."""
    return [name for names in NEEDS.findall((ROOT / page).read_text()) for name in names.split(", ")]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("empty_folder")
def test_the_examples_of_a_page_run(page):
    """Each example of a page gives what the page says, from the first to the last in one session."""
    for name in needs(page):
        try:
            importlib.import_module(name)
        except Exception as error:
            pytest.skip(f"{name} cannot be imported: {error}")
    document = READER.parse(ROOT / page)
    try:
        for example in document.examples():
            example.evaluate()
    finally:
        document.namespace.clear()  # the reader keeps it, and with it what has threads


@pytest.fixture
def module_of(monkeypatch, empty_folder):
    """The names of a page after its examples, as a module, so that its classes pickle."""

    def names(page, name):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        document = READER.parse(ROOT / page)
        document.namespace["__name__"] = name
        for example in document.examples():
            example.evaluate()
        vars(module).update(document.namespace)
        namespaces.extend([document.namespace, vars(module)])
        return module

    namespaces = []
    yield names
    for namespace in namespaces:  # the reader keeps them, and with them what has threads
        namespace.clear()


class TestTheSamplerOfTheDocs(SamplerContract):
    n_samples = 6

    @pytest.fixture(autouse=True)
    def page(self, module_of):
        self.module = module_of("docs/howto/write_a_sampler.rst", "pairs")

    def make(self):
        return self.module.PairSampler(3)


class TestTheSourceOfTheDocs(RandomAccessSourceContract):
    @pytest.fixture(autouse=True)
    def page(self, module_of):
        self.module = module_of("docs/howto/write_a_source.rst", "table")

    def make(self):
        return self.module.TableSource("samples.db")


class TestTheAccessorOfTheDocs(AccessorContract):
    @pytest.fixture(autouse=True)
    def page(self, module_of):
        self.module = module_of("docs/guide/files.rst", "photos")

    def make(self):
        return self.module.Photos(sorted(Path("images").glob("*.jpg")))


@pytest.mark.parametrize("page", ["README.rst", "docs/index.rst", "docs/tutorial.rst"])
def test_a_page_that_shows_code_has_examples(page):
    """The reader finds examples where there are some, so that the test above cannot pass by finding none."""
    assert list(READER.parse(ROOT / page).examples())


@pytest.mark.parametrize(
    ("text", "failure"),
    [(">>> 1 + 1\n3\n", SybilFailure), (".. code-block:: python\n\n    assert 1 + 1 == 3\n", AssertionError)],
)
def test_a_wrong_example_is_seen(tmp_path, text, failure):
    """An example that does not give what it says fails."""
    page = tmp_path / "wrong.rst"
    page.write_text(text)
    (example,) = READER.parse(page).examples()

    with pytest.raises(failure):
        example.evaluate()
