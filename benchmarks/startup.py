"""How long the start takes: from making a Loader with worker processes to its first batch, and until it is closed.

    python benchmarks/startup.py [rounds]

Asked for: a first batch after at most 1.15 times what `python -c "import numpy"` takes. Workers start clean, with an
interpreter of their own, so each imports NumPy and what it needs of batchup; PyTorch's are forks by default, which need
not, and which may inherit locked locks. Its clean start is "spawn". One library after the other, round after round;
a ratio is the median of those within the rounds.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from timing import about, in_turn, median, table

from batchup import Loader

DATA = np.random.RandomState(0).rand(10_000, 32).astype(np.float32)
REFERENCE = 'python -c "import numpy"'


def program(code: str) -> Callable[[], float]:
    """Seconds for a program of its own, by the interpreter and in the surroundings of this one."""

    def run() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begun

    return run


def first_batch(workers: int) -> Callable[[], float]:
    """Seconds from making a Loader to its first batch."""

    def run() -> float:
        begun = time.perf_counter()
        with Loader([DATA], 64, shuffle=0, pool="processes", workers=workers) as loader:
            next(iter(loader))
            return time.perf_counter() - begun

    return run


def closing(workers: int) -> Callable[[], float]:
    """Seconds to end the workers."""

    def run() -> float:
        loader = Loader([DATA], 64, shuffle=0, pool="processes", workers=workers)
        for _ in loader:
            pass
        begun = time.perf_counter()
        loader.close()
        return time.perf_counter() - begun

    return run


class Rows:
    """The same data for PyTorch, at the top of a module, as a clean start needs it."""

    def __len__(self) -> int:
        return len(DATA)

    def __getitem__(self, i: int) -> np.ndarray:
        row: np.ndarray = DATA[i]
        return row


def first_of_torch(start: str, workers: int) -> Callable[[], float]:
    from torch.utils.data import DataLoader

    def run() -> float:
        begun = time.perf_counter()
        rows: Any = Rows()
        batches = iter(DataLoader(rows, 64, shuffle=True, num_workers=workers, multiprocessing_context=start))
        next(batches)
        seconds = time.perf_counter() - begun
        del batches
        return seconds

    return run


def main(rounds: int = 15) -> None:
    about()
    runs = {
        "python -c pass": program("pass"),
        REFERENCE: program("import numpy"),
        'python -c "from batchup import Loader"': program("from batchup import Loader"),
        "first batch, 1 worker": first_batch(1),
        "first batch, 2 workers": first_batch(2),
        "close, 2 workers": closing(2),
    }
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: its DataLoader is left out")
    else:
        for start in ("fork", "spawn"):
            runs[f"torch, {start}, 2 workers"] = first_of_torch(start, 2)
    found = in_turn(runs, rounds)
    reference = found[REFERENCE]
    rows = [
        [name, f"{1e3 * median(times):.0f}", f"{median(a / b for a, b in zip(times, reference, strict=True)):.2f}"]
        for name, times in found.items()
    ]
    table("Starts", ["what", "ms", "times importing NumPy"], rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
