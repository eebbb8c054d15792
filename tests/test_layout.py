"""A stranger finds things at the first guess: tests in the file of the module's name, the rest by CONTRIBUTING.rst."""

import re
from pathlib import Path

import pytest

import batchup

PACKAGE = Path(batchup.__file__).parent
TESTS = Path(__file__).parent

# Modules whose tests are in no file of their own name, and why.
EXEMPT = {
    "testing/contracts": "tried with right and wrong things of its kind, in tests/testing/test_contracts.py",
    "flow/expr/named.py": "tested with the expressions that start with the names, in flow/expr/test_expressions.py",
}

# Modules whose tests stand elsewhere still. This list only gets shorter.
MISSING: set[str] = set()

# Places that CONTRIBUTING.rst names, and that are still to come. This list only gets shorter.
AWAITED: set[str] = set()

PLACES = re.findall(
    r"``(batchup/[\w/.]+)``(?:, ``(\w+)``)?", (TESTS.parent / "CONTRIBUTING.rst").read_text(encoding="utf-8")
)


def modules():
    """The modules by their path within batchup; an ``__init__`` only gathers names."""
    paths = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]
    return [path for path in paths if path.name != "__init__.py"]


def place_of_tests(module):
    """``engine/process/pool.py`` is tested in ``engine/process/test_pool.py``; a package, by the file of its name."""
    return module.with_name(f"test_{module.name}")


def is_exempt(module):
    return any(each in EXEMPT for each in [module.as_posix(), *(parent.as_posix() for parent in module.parents)])


def test_every_module_has_tests_in_the_file_of_its_name():
    """``batchup/a/b.py`` has ``tests/a/test_b.py``, unless it is in EXEMPT or MISSING."""
    without = [each for each in modules() if not (TESTS / place_of_tests(each)).exists()]

    assert set() == {each.as_posix() for each in without if not is_exempt(each)} - MISSING


def test_the_lists_are_of_modules_that_are_there():
    """What is exempt or missing exists; what got its tests is struck off."""
    there = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*")}

    assert set() == {*EXEMPT, *MISSING} - there
    assert set() == {each for each in MISSING if (TESTS / place_of_tests(Path(each))).exists()}


@pytest.mark.parametrize(
    ("module", "expected"),
    [("errors.py", "test_errors.py"), ("engine/process/pool.py", "engine/process/test_pool.py")],
)
def test_the_place_of_tests(module, expected):
    """Beside the tests of its neighbours, with ``test_`` before its name."""
    assert Path(expected) == place_of_tests(Path(module))


def test_the_slow_files_are_there(slow_files):
    """A file that is renamed does not become one of the fast ones unnoticed."""
    assert [] == [pattern for pattern in slow_files if not list(TESTS.glob(pattern))]


@pytest.mark.parametrize(("path", "name"), PLACES)
def test_what_contributing_names_is_there(path, name):
    """Each file is there, and the name beside it is in it."""
    if path in AWAITED and not (TESTS.parent / path).exists():
        pytest.skip("not there yet")

    assert re.search(rf"\b{name}\b", (TESTS.parent / path).read_text(encoding="utf-8"))


def test_contributing_names_places():
    """The reader finds the table, so that the test above cannot pass by finding none."""
    assert ("batchup/errors.py", "located") in PLACES
    assert len(PLACES) > 12
