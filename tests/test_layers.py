"""Imports point down, never sideways, and third-party packages come in where they are declared."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import batchup

ROOT = Path(batchup.__file__).parent

# The layers, from the bottom. A package stands for all its modules; `batchup` itself is on top.
LEVELS = {
    "batchup.errors": 0,
    "batchup.version": 0,
    "batchup.engine": 1,
    "batchup.sampling": 2,
    "batchup.storage": 2,
    "batchup.data_source": 3,
    "batchup.work_pool": 4,
    "batchup.loader": 4,
    "batchup.batch_iter": 4,
    "batchup.flow": 4,
    "batchup.interop": 5,
    "batchup.testing": 6,
    "batchup": 7,
}
NEIGHBOURS = {("batchup.loader", "batchup.work_pool")}  # the only sideways imports
ON_USE = {("batchup.loader", "batchup.interop")}  # the only way up, and inside functions alone: a Loader's `to_…`

HEAVY = ["tqdm", "torch", "jax", "matplotlib", "PIL", "pandas", "scipy", "sklearn"]


class Import(NamedTuple):
    """`importer` imports `module`; `at_top` when that happens as soon as `importer` is imported."""

    importer: str
    module: str
    at_top: bool


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}

# Who may import what from elsewhere at the top of a module; inside a function, anything.
EVERYWHERE = {"numpy"}
TESTING = {name for name in MODULES if name.startswith("batchup.testing")}
ONLY_IN = {
    "joblib": {"batchup.engine.process.pickling"},
    "cloudpickle": {"batchup.engine.process.pickling"},
    "six": {"batchup.engine.checks"},
    "torch": {name for name in MODULES if name.startswith("batchup.interop.torch")},
    "hypothesis": TESTING,
    "psutil": TESTING,
    "pytest": TESTING,
}


def imports(name, source, is_package=False, modules=frozenset(MODULES)):
    """All imports of a module, resolved: ``from . import sampling`` is an import of ``batchup.sampling``."""
    package = name if is_package else name.rpartition(".")[0]
    found = []

    def visit(node, at_top):
        if isinstance(node, ast.Import):
            found.extend(Import(name, alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(Import(name, inner if inner in modules else base, at_top))
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.If) and _is_type_checking(node.test) and child in node.body:
                visit(child, False)
            else:
                visit(child, at_top and not inside)

    visit(ast.parse(source), True)
    return found


def _is_type_checking(test):
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def layer(module):
    """The entry of LEVELS that a module belongs to: ``batchup.engine`` for ``batchup.engine.tree``."""
    return ".".join(module.split(".")[:2])


def wrong_way(found):
    """The imports within batchup that point up or sideways; modules of one package may import each other."""
    wrong = []
    for each in found:
        if each.module.split(".")[0] != "batchup":
            continue
        importer, imported = layer(each.importer), layer(each.module)
        down = LEVELS[imported] < LEVELS[importer]
        on_use = not each.at_top and (importer, imported) in ON_USE
        if not down and importer != imported and (importer, imported) not in NEIGHBOURS and not on_use:
            wrong.append(each)
    return wrong


def foreign(found):
    """The imports from elsewhere that are not the importer's to make at its top."""
    wrong = []
    for each in found:
        origin = each.module.split(".")[0]
        if not each.at_top or origin in ("batchup", "__future__") or origin in sys.stdlib_module_names | EVERYWHERE:
            continue
        if each.importer not in ONLY_IN.get(origin, ()):
            wrong.append(each)
    return wrong


def cycle(found):
    """The modules of an import cycle, in order, or an empty list."""
    graph = {}
    for each in found:
        graph.setdefault(each.importer, []).append(each.module)
    done = set()

    def search(module, path):
        if module in path:
            return path[path.index(module) :]
        if module not in done:
            done.add(module)
            for imported in graph.get(module, ()):
                loop = search(imported, [*path, module])
                if loop:
                    return loop
        return []

    return next((loop for module in graph if (loop := search(module, []))), [])


@pytest.fixture(scope="module")
def graph():
    return [
        each
        for name, path in MODULES.items()
        for each in imports(name, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py")
    ]


def test_every_module_has_a_layer():
    """A new module or package under batchup is entered into LEVELS."""
    assert set() == {layer(module) for module in MODULES} - set(LEVELS)


def test_imports_point_down(graph):
    """No layer imports one above it, or its neighbour."""
    assert [] == wrong_way(graph)


def test_third_party_imports_are_where_they_are_declared(graph):
    """numpy everywhere, joblib in the process engine, six in the checks; all others inside functions."""
    assert [] == foreign(graph)


def test_there_is_no_import_cycle(graph):
    """Not within the engine either, and not by an import inside a function."""
    assert [] == cycle(graph)


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("batchup.sampling", "from . import data_source"),
        ("batchup.sampling", "def f():\n    from .data_source import Pick"),
        ("batchup.engine.tree", "from ..sampling import num_batches"),
        ("batchup.errors", "import batchup.engine.tree"),
        ("batchup.errors", "from .engine import tree"),
        ("batchup.flow.lazy", "from .. import work_pool"),
        ("batchup.data_source", "import batchup"),
        ("batchup.loader.loader", "from ..interop import torch"),
        ("batchup.flow.recipe", "def f():\n    from ..interop import torch"),
    ],
)
def test_a_wrong_way_is_seen(importer, source):
    """The check tells an import that points up or sideways, in any spelling."""
    modules = {*MODULES, "batchup.work_pool"}

    assert [importer] == [each.importer for each in wrong_way(imports(importer, source, modules=modules))]


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("batchup.engine.stream", "from . import pools"),
        ("batchup.loader", "from .work_pool import WorkerThreadPool"),
        ("batchup.loader.loader", "def f():\n    from ..interop import torch"),
        ("batchup.data_source", "from .engine import tree\nfrom . import sampling"),
    ],
)
def test_a_right_way_is_let_through(importer, source):
    """Imports that point down, within one package, or to a named neighbour are right."""
    assert [] == wrong_way(imports(importer, source))


@pytest.mark.parametrize(
    ("importer", "source", "expected"),
    [
        ("batchup.sampling", "import six", ["six"]),
        ("batchup.work_pool", "import joblib.externals.loky", ["joblib.externals.loky"]),
        ("batchup.engine.process.pickling", "from joblib.externals import loky", []),
        ("batchup.data_source", "try:\n    import pandas\nexcept ImportError:\n    pass", ["pandas"]),
        ("batchup.data_source", "class A:\n    import pandas", ["pandas"]),
        ("batchup.data_source", "def f():\n    import pandas", []),
        ("batchup.data_source", "if TYPE_CHECKING:\n    import pandas", []),
        ("batchup.data_source", "if TYPE_CHECKING:\n    pass\nelse:\n    import pandas", ["pandas"]),
    ],
)
def test_a_foreign_import_is_seen(importer, source, expected):
    """The check tells a third-party import that happens on import, where it is not declared."""
    assert expected == [each.module for each in foreign(imports(importer, source))]


def test_a_cycle_is_seen():
    """The check names the modules that import each other."""
    found = [Import("a", "b", True), Import("b", "c", False), Import("c", "b", True)]

    assert ["b", "c"] == cycle(found)


def test_importing_batchup_imports_nothing_heavy():
    """``import batchup`` in a fresh interpreter brings in NumPy, joblib and six, no progress bar and no framework."""
    code = f"import sys, batchup; print(*[name for name in {HEAVY} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT.parent, check=True
    )

    assert "" == done.stdout.strip()
