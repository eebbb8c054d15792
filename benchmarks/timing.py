"""How the benchmarks measure: everything in one run, in turn, round after round; medians, and ratios within a round."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import joblib
import numpy as np

import batchup


def per_item(run: Callable[[], Iterable[object]]) -> float:
    """Seconds for each item of one go through what `run` gives."""
    n = 0
    start = time.perf_counter()
    for _ in run():
        n += 1
    return (time.perf_counter() - start) / n


def in_turn(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The measurements of each, taken one after the other in every round, the order reversed in every second one."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for name in runs:
        runs[name]()  # not counted: caches and pages become warm
    for i in range(rounds):
        for name in list(runs)[:: -1 if i % 2 else 1]:
            found[name].append(runs[name]())
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """Print a table in reStructuredText."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = "  ".join("=" * width for width in widths)
    print(f"\n{title}\n")
    for row in [None, head, None, *rows, None]:
        print(rule if row is None else "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def about() -> None:
    """What this was measured with."""
    print(
        f"batchup {batchup.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"joblib {joblib.__version__}, {joblib.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"{time.strftime('%Y-%m-%d')}"
    )


PEERS = ("numpy", "joblib", "torch", "spdl_core", "grain", "datasets", "pillow")


def recorded(path: str, key: str, title: str, unit: str, found: dict[str, list[float]], items: int = 1) -> None:
    """Keep the medians of one comparison in a file of many, with what they were measured on.

    `found` has seconds per item; an item counts as `items` of `unit`.
    """
    file = Path(path)
    all_of_them = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    installed = {
        each.metadata["Name"].lower().replace("-", "_"): each.version for each in importlib.metadata.distributions()
    }
    all_of_them[key] = {
        "title": title,
        "unit": unit,
        "medians": {name: float(f"{items / median(times):.4g}") for name, times in found.items()},
        "of batchup": {
            name: round(median(t / b for t, b in zip(times, found["batchup"], strict=True)), 2)
            for name, times in found.items()
        },
        "rounds": len(found["batchup"]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{joblib.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load average": [round(each, 1) for each in os.getloadavg()],
        "versions": {
            "python": platform.python_version(),
            "batchup": batchup.__version__,
            **{name: installed[name] for name in PEERS if name in installed},
        },
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
    }
    file.write_text(json.dumps(all_of_them, indent=1) + "\n", encoding="utf-8")
