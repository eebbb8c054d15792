"""Items per second through a pipe of functions, compared with deep_pipe's `Infinite` and a plain generator.

    python benchmarks/streams.py [--rounds N] [--only cheap,slow,large]

There are three kinds of functions: (cheap) add one to a number; (slow) wait 10 ms with the GIL released, like reading a
file; (large) negate an array of 1 MB, in two processes. Each library runs a pipe of the same stages, one library after
the other in every round. The first batch is not counted, and with it the start of threads and processes. A ratio is the
median of the ratios within the rounds.

Goals for batchup: 3 times deep_pipe for cheap functions and large arrays; for slow functions, 0.95 times the plain
generator per thread. batchup runs consecutive bare functions in one thread, deep_pipe runs each in its own.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib.metadata
import importlib.util
import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from timing import about, in_turn, median, table

from batchup import batch_iter

GENERATOR = "plain generator"
SECONDS = 0.01  # duration of a slow function
ARRAY = np.random.default_rng(0).random(1 << 17)  # 1 MB


def plus_one(x: float) -> float:
    return x + 1


def wait(x: float) -> float:
    time.sleep(SECONDS)
    return x


class Work(NamedTuple):
    """A pipe, and the number of items to send through it."""

    title: str
    stages: Callable[[Any], list[Any]]  # makes the stages from a library
    functions: list[Callable[[Any], Any]]  # the same, for a plain generator
    item: Any
    batches: int
    batch_size: int
    threads: int = 0  # for slow functions: how many run at the same time, which is the expected speed-up


CHEAP, FEW = (200, 100), (20, 10)
WORKS = {
    "cheap": [
        Work("cheap, 1 bare", lambda lib: [plus_one], [plus_one], 1.0, *CHEAP),
        Work("cheap, 3 bare", lambda lib: [plus_one] * 3, [plus_one] * 3, 1.0, *CHEAP),
        Work("cheap, Threads(n_workers=4)", lambda lib: [lib.Threads(plus_one, n_workers=4)], [plus_one], 1.0, *CHEAP),
    ],
    "slow": [
        Work("10 ms, 1 bare", lambda lib: [wait], [wait], 1.0, *FEW, 1),
        Work("10 ms, 3 bare", lambda lib: [wait] * 3, [wait] * 3, 1.0, *FEW, 1),
        Work("10 ms, 3 Threads", lambda lib: [lib.Threads(wait) for _ in range(3)], [wait] * 3, 1.0, *FEW, 3),
        Work("10 ms, Threads(n_workers=4)", lambda lib: [lib.Threads(wait, n_workers=4)], [wait], 1.0, 80, 10, 4),
    ],
    "large": [
        Work("1 MB, Loky(n_workers=2)", lambda lib: [lib.Loky(np.negative, n_workers=2)], [np.negative], ARRAY, 60, 10)
    ],
}


def counted(batches: Iterable[Any]) -> float:
    """Seconds per batch."""
    start = time.perf_counter()
    n = sum(1 for _ in batches)
    return (time.perf_counter() - start) / n


def by_generator(work: Work) -> float:
    def items() -> Iterator[Any]:
        for x in itertools.repeat(work.item):
            for function in work.functions:
                x = function(x)
            yield x

    stream = items()
    batches = iter(lambda: tuple(itertools.islice(stream, work.batch_size)), ())
    return counted(itertools.islice(batches, max(1, work.batches // 4)))


def by_pipe(library: Any, work: Work) -> float:
    pipe = library.Infinite(
        itertools.repeat(work.item),
        *work.stages(library),
        batch_size=work.batch_size,
        batches_per_epoch=work.batches,
        combiner=tuple,
    )
    with pipe:
        epoch = iter(pipe())
        next(epoch)
        return counted(epoch)


def report(work: Work, rounds: int) -> list[list[str]]:
    ways = {"batchup": lambda: by_pipe(batch_iter, work), GENERATOR: lambda: by_generator(work)}
    if importlib.util.find_spec("dpipe"):
        from dpipe import batch_iter as deep_pipe

        ways["deep_pipe"] = lambda: by_pipe(deep_pipe, work)
    found = in_turn(ways, rounds)
    return [
        ["" if i else work.title, name, f"{work.batch_size / median(times):,.0f}", *compared(work, name, found)]
        for i, (name, times) in enumerate(found.items())
    ]


def compared(work: Work, name: str, found: dict[str, list[float]]) -> list[str]:
    """How many times as fast batchup is, the goal, and whether it is met."""
    if name == "batchup":
        return ["", "", ""]
    ratio = median(other / mine for other, mine in zip(found[name], found["batchup"], strict=True))
    goal = 0.95 * work.threads if work.threads and name == GENERATOR else 0
    if name == "deep_pipe" and not work.threads:
        goal = 3
    return [f"{ratio:.2f}", f"{goal:.2f}" if goal else "", yes(ratio >= goal) if goal else ""]


def yes(met: bool) -> str:
    return "yes" if met else "NO"


def main(keys: Iterable[str], rounds: int) -> None:
    faulthandler.dump_traceback_later(900, exit=True)
    logging.getLogger("concurrent.futures").setLevel(logging.CRITICAL)  # deep_pipe's pools end with tracebacks
    about()
    try:
        print(f"deep_pipe {importlib.metadata.version('deep_pipe')}")
    except importlib.metadata.PackageNotFoundError:
        print("deep_pipe is not installed, and skipped")
    head = ["pipe", "way", "items/s", "batchup is times as fast", "goal", "met"]
    rows = [row for key in keys for work in WORKS[key] for row in report(work, rounds)]
    table(f"items through a pipe, medians of {rounds} rounds", head, rows)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="cheap,slow,large", help="which functions, such as cheap,large")
    options = parser.parse_args()
    import streams  # this file as a module, so that worker processes can import its functions

    streams.main(options.only.split(","), options.rounds)
