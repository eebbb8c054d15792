"""Runs the examples of a page of the documentation; as a program, in a process of its own."""

from __future__ import annotations

import doctest
import importlib
import linecache
import sys
import warnings
from pathlib import Path

from sybil import Document, Sybil
from sybil.parsers.rest import DocTestParser, PythonCodeBlockParser

READER = Sybil(parsers=[DocTestParser(doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), PythonCodeBlockParser()])
MISSING = 77  # the exit code where a library is


def run(page: Path) -> None:
    """Run all of them, from the first to the last in one session."""
    document = READER.parse(page)
    try:
        evaluate(document)
    finally:
        document.namespace.clear()  # the reader keeps it, and with it what has threads


def evaluate(document: Document) -> None:
    """Run the examples of a document that was read."""
    linecache.clearcache()  # before each example, doctest looks at all files there
    for example in document.examples():
        example.evaluate()


def main(page: str, *libraries: str) -> None:
    for name in libraries:
        try:
            importlib.import_module(name)
        except Exception as error:
            print(f"{name} cannot be imported: {error}")
            sys.exit(MISSING)
    warnings.simplefilter("error")  # as in pyproject.toml
    warnings.filterwarnings("ignore", "epoch .* gave no batch")
    run(Path(page))


if __name__ == "__main__":
    main(*sys.argv[1:])
