"""Each name means one thing, what is private stays at home, and the reference describes what is public."""

import ast
import importlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

import batchup

ROOT = Path(batchup.__file__).parent
REFERENCE = ROOT.parent / "docs" / "reference"

# Names of classes and functions that several modules have at their top, and why.
SHARED = {
    "Batch": "BatchFlow's programs subclass flow's class; everywhere else it is the type of a batch",
}

# Underscore names that are imported from another package, as "importer -> module.name", and why.
BORROWED: dict[str, str] = {}

# Documented, but in no `__all__`: what the public functions return, or take as keywords. By last name, and why.
NOT_IMPORTED = {
    "StageStats": "an entry of LoaderStats.stages",
    "StreamStats": "what WorkStream.stats() returns",
    "PipelinePlan": "the keywords of flow's run, gen_batch and next_batch",
    "OncePipeline": "what before and after of flow's pipelines are",
    "RunOptions": "the keywords of flow's run, gen_batch and next_batch",
    "Prefetched": "what to_torch and prefetching return",
    "found_rank": "who says what rank this process has",
}

# The modules that users import from. A new one is entered here and described in docs/reference.
PUBLIC = [
    "batchup",
    "batchup.batch_iter",
    "batchup.data_source",
    "batchup.errors",
    "batchup.flow",
    "batchup.interop.accelerate",
    "batchup.interop.jax",
    "batchup.interop.keras",
    "batchup.interop.lightning",
    "batchup.interop.sklearn",
    "batchup.interop.tensorflow",
    "batchup.interop.torch",
    "batchup.loader",
    "batchup.sampling",
    "batchup.storage",
    "batchup.testing",
    "batchup.work_pool",
]


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def package_of(name, is_package):
    return name if is_package else name.rpartition(".")[0]


def top_level(source):
    """The public classes and functions of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(source).body if isinstance(node, kinds) and not node.name.startswith("_")}


def shared_names(sources):
    """The names that several modules define at their top, with the modules; `__getattr__` and the like are Python's."""
    where = defaultdict(list)
    for module, source in sources.items():
        for name in top_level(source):
            where[name].append(module)
    return {name: modules for name, modules in sorted(where.items()) if len(modules) > 1}


def borrowed(name, source, modules, is_package=False):
    """The underscore names of modules of other packages that a module imports, or reads as an attribute."""
    package = package_of(name, is_package)
    found, aliases = [], {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{base}.{alias.name}" in modules:
                    aliases[alias.asname or alias.name] = f"{base}.{alias.name}"
                if base in modules:
                    found.append((base, alias.name))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.append((aliases.get(node.value.id, ""), node.attr))
    return sorted(
        f"{name} -> {module}.{inner}"
        for module, inner in found
        if module and is_private(inner) and not f"{package}.".startswith(f"{home_of(module, modules)}.")
    )


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def home_of(module, modules):
    """The package whose modules may use a module's private names."""
    return module if any(other.startswith(f"{module}.") for other in modules) else module.rpartition(".")[0]


@pytest.fixture(scope="module")
def sources():
    return {name: path.read_text(encoding="utf-8") for name, path in SOURCES.items()}


def test_no_name_of_a_class_or_function_has_two_meanings(sources):
    """What is public in two modules is renamed in one of them, or has a reason in SHARED."""
    found = shared_names(sources)

    assert {} == {name: modules for name, modules in found.items() if name not in SHARED}


def test_a_second_meaning_is_seen():
    """Classes and functions at the top count; methods, private names and other values do not."""
    sources = {
        "a": "class Run: ...\ndef at(): ...\ndef _at(): ...\nN = 1",
        "b": "async def at(): ...\nclass B:\n    def Run(self): ...\ndef _at(): ...\nN = 2",
    }

    assert {"at": ["a", "b"]} == shared_names(sources)


def test_private_names_stay_in_their_package(sources):
    """No module takes an underscore name from a module of another package, but those in BORROWED."""
    found = [
        each
        for name, source in sources.items()
        for each in borrowed(name, source, SOURCES, SOURCES[name].name == "__init__.py")
    ]

    assert sorted(BORROWED) == sorted(set(found))


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("p.a.x", "from ..b.y import _f", ["p.a.x -> p.b.y._f"]),
        ("p.a.x", "def f():\n    from p.b.y import _f as g", ["p.a.x -> p.b.y._f"]),
        ("p.a.x", "from ..b import y as z\nz._f()", ["p.a.x -> p.b.y._f"]),
        ("p.a.x", "from ..b import _y", ["p.a.x -> p.b._y"]),
        ("p.a.x", "from .z import _f\nfrom . import z\nz._f()", []),
        ("p.a.x", "from ..b.y import f\nfrom ..b import y\ny.__name__, f._g", []),
        ("p.b.inner.x", "from ..y import _f", []),
    ],
)
def test_a_borrowed_private_name_is_seen(name, source, expected):
    """In an import anywhere, and as an attribute; within a package it is at home, in the packages inside too."""
    modules = {"p", "p.a", "p.a.x", "p.a.z", "p.b", "p.b.y", "p.b._y", "p.b.inner", "p.b.inner.x"}

    assert expected == borrowed(name, source, modules)


DIRECTIVE = re.compile(r"^\.\. auto(module|class|function|exception|data):: (\S+)\n((?:   .*\n)*)", re.MULTILINE)


def documented(text):
    """The full names that a page of the reference describes."""
    module, found = "", []
    for kind, name, options in DIRECTIVE.findall(f"{text}\n"):
        members = re.search(r":members:(.*)", options)
        if kind != "module":
            found.append(name if name.startswith("batchup.") else f"{module}.{name}")
            continue
        module = name
        if members:
            listed = [each.strip() for each in members[1].split(",") if each.strip()]
            found += [f"{module}.{each}" for each in listed or importlib.import_module(module).__all__]
    return found


def resolved(name):
    module, _, inner = name.rpartition(".")
    return getattr(importlib.import_module(module), inner)


PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(REFERENCE.glob("*.rst"))}


@pytest.mark.slow  # PyTorch takes long to import; `make check` has it
@pytest.mark.parametrize("module", PUBLIC)
def test_what_is_public_is_in_the_reference(module):
    """Each name in ``__all__`` has an entry, or stands in a sentence of a page, as flow's letters do."""
    pytest.importorskip("torch")  # some names are of classes that are derived from PyTorch's
    described = [resolved(name) for text in PAGES.values() for name in documented(text)]
    values = {name: resolved(f"{module}.{name}") for name in importlib.import_module(module).__all__}
    said = "".join(PAGES.values())

    assert [] == [
        name
        for name, value in values.items()
        if not any(value is each for each in described) and f"``{name}``" not in said
    ]


@pytest.mark.slow  # PyTorch takes long to import; `make check` has it
@pytest.mark.parametrize("page", PAGES)
def test_what_is_in_the_reference_is_public(page):
    """Each entry is in the ``__all__`` of a module that users import from, or has a reason in NOT_IMPORTED."""
    pytest.importorskip("torch")
    public = [resolved(f"{module}.{name}") for module in PUBLIC for name in importlib.import_module(module).__all__]
    entries = [name for name in documented(PAGES[page]) if name.rpartition(".")[2] not in NOT_IMPORTED]

    assert [] == [name for name in entries if not any(resolved(name) is each for each in public)]


def test_entries_of_a_page_are_seen():
    """The reader of pages knows members that are listed, all of a module, and names of the module before."""
    text = (
        ".. automodule:: batchup.work_pool\n   :members: WorkStream, ParallelDataSource\n   :show-inheritance:\n\n"
        ".. autofunction:: empty\n\n.. automodule:: batchup.loader\n   :members:\n\n.. autoclass:: batchup.flow.Batch\n"
    )

    assert [
        "batchup.work_pool.WorkStream",
        "batchup.work_pool.ParallelDataSource",
        "batchup.work_pool.empty",
        *(f"batchup.loader.{name}" for name in batchup.loader.__all__),
        "batchup.flow.Batch",
    ] == documented(text)


def test_every_public_module_is_known():
    """A package or module of the front that has an ``__all__`` is in PUBLIC."""
    inside = {"batchup.engine", "batchup.storage", "batchup.interop", "batchup.version"}
    front = [name for name in SOURCES if name.count(".") == 1 and name not in inside]

    assert [] == [name for name in front if name not in PUBLIC]
