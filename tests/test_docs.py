"""The examples of the README and of the documentation run, and print what stands there."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from launcher import begun, installed
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


PICTURES = [
    (page, path, alt)
    for page in PAGES
    for path, alt in re.findall(r"^\.\. image:: (\S+)\n +:alt: (.+)$", (ROOT / page).read_text(), re.MULTILINE)
]


def place_of(page, path):
    """Paths of pages begin at ``docs``; those of the README, beside it."""
    return ROOT / path if page == "README.rst" else ROOT / "docs" / path.lstrip("/")


@pytest.mark.parametrize("page", [page for page in PAGES if ".. image::" in (ROOT / page).read_text()])
def test_a_picture_can_be_read_aloud(page):
    """Each picture of a page is committed, and has an alt text of more than a few words."""
    shown = (ROOT / page).read_text().count(".. image::")
    said = [place_of(page, path).is_file() and len(alt.split()) > 5 for other, path, alt in PICTURES if page == other]

    assert [True] * shown == said


@pytest.mark.parametrize("picture", [*(ROOT / "docs/figures").glob("*.svg"), *(ROOT / "docs/figures").glob("*.png")])
def test_a_figure_is_on_a_page(picture):
    """No figure is committed that no page shows."""
    assert picture in [place_of(page, path) for page, path, _ in PICTURES]


FIGURES = installed("matplotlib.figure", "sklearn.datasets", "PIL.Image")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plan_and_fetch.svg", "timeline_slow.svg", "speed.svg", "augmented.png"])
def test_a_figure_is_drawn_the_same_again(name, tmp_path):
    """Drawn twice from the same data, by a copy of its program, a figure is the same file, byte for byte."""
    for library in ("matplotlib", "sklearn", "PIL"):
        pytest.importorskip(library)
    program = f"{name.partition('.')[0].removesuffix('_slow')}.py"
    drawn = []
    for folder in (tmp_path / "once", tmp_path / "again"):
        shutil.copytree(ROOT / "docs/figures", folder, ignore=shutil.ignore_patterns("*.svg", "*.png", "__pycache__"))
        if folder.name == "once":  # with another seed of hashes than the fork
            subprocess.run([sys.executable, folder / program], check=True, timeout=100, stdout=subprocess.DEVNULL)
        else:
            again = begun(FIGURES, folder / program, folder=folder)
            _, said = again.communicate(timeout=100)
            assert 0 == again.returncode, said
        drawn.append((folder / name).read_bytes())

    assert drawn[0] == drawn[1]


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
