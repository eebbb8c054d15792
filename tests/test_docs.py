"""The examples of the README and of the documentation run, and print what stands there."""

import importlib
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pages
import pytest
from launcher import HEAVY, begun
from pages import READER
from sybil.example import SybilFailure

from batchup.testing import AccessorContract, RandomAccessSourceContract, SamplerContract

ROOT = Path(__file__).parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    if "_build" not in path.parts
]

NEEDS = re.compile(r"^\.\. needs: (.+)$", re.MULTILINE)  # a comment of pages that use optional libraries


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """Examples write their files here."""
    monkeypatch.chdir(tmp_path)


def needs(page):
    """The libraries that a page says it needs: ``.. needs: torch, timm``."""
    return [name for names in NEEDS.findall((ROOT / page).read_text()) for name in names.split(", ")]


SLOW = {"torch", "jax", "keras", "sklearn", "albumentations"}  # to import; pages that need them run in forks
QUICK = "--xla_backend_optimization_level=0"  # most of what JAX does is compiling


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page, empty_folder, tmp_path):
    """Each example of a page gives what the page says, from the first to the last in one session."""
    libraries = needs(page)
    if SLOW.isdisjoint(libraries):
        for name in libraries:
            try:
                importlib.import_module(name)
            except Exception as error:
                pytest.skip(f"{name} cannot be imported: {error}")
        pages.run(ROOT / page)
        return
    fork = begun(HEAVY, Path(pages.__file__), [ROOT / page, *libraries], folder=tmp_path, XLA_FLAGS=QUICK)
    said, errors = fork.communicate(timeout=100)
    if fork.returncode == pages.MISSING:
        pytest.skip(said)
    assert 0 == fork.returncode, said + errors


@pytest.fixture
def module_of(monkeypatch, empty_folder):
    """The names of a page after its examples, as a module, so that its classes pickle."""

    def names(page, name):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        document = READER.parse(ROOT / page)
        document.namespace["__name__"] = name
        pages.evaluate(document)
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


FIGURES = ["plan_and_fetch.svg", "timeline_slow.svg", "speed.svg", "augmented.png"]
DRAW = """
import runpy, sys
from pathlib import Path

sys.path.insert(0, str(Path(sys.argv[1]).parent))
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="__main__")
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The figures, drawn by a copy of their programs twice: by an interpreter of their own, and by a fork."""
    for library in ("matplotlib", "sklearn", "PIL"):
        pytest.importorskip(library)
    folders = [tmp_path_factory.mktemp(name) / "figures" for name in ("once", "again")]
    programs = []
    for folder in folders:
        shutil.copytree(ROOT / "docs/figures", folder, ignore=shutil.ignore_patterns("*.svg", "*.png", "__pycache__"))
        programs.append([folder / f"{name.partition('.')[0].removesuffix('_slow')}.py" for name in FIGURES])
    subprocess.run([sys.executable, "-c", DRAW, *programs[0]], check=True, timeout=100, stdout=subprocess.DEVNULL)
    again = begun(HEAVY, DRAW, programs[1], folder=folders[1])
    _, said = again.communicate(timeout=100)
    assert 0 == again.returncode, said
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_the_same_again(name, drawn):
    """Drawn twice from the same data, with other seeds of hashes, a figure is the same file, byte for byte."""
    once, again = [(folder / name).read_bytes() for folder in drawn]

    assert once == again


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
