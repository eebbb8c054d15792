"""The plan's side of a run of 1,000 ranks over 10^10 samples: what each rank computes by itself, step by step.

    python benchmarks/many_ranks.py

No data is read: the source is a range. So this is the time and the memory that the plan takes on each host, beside its
fetches. The time is that of the processor (`time.process_time`), which other programs on the machine disturb little.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from timing import about, median, table

from batchup import ArrayDataSource, LazyShuffleSampler, Loader

SAMPLES, BATCH, STEPS = 10**10, 64, 200
WORLDS = (1, 8, 100, 1000)


def loader(world: int) -> Loader:
    source = ArrayDataSource([range(SAMPLES)], sampler=LazyShuffleSampler(SAMPLES))
    return Loader(source, BATCH, shuffle=7, shard=(world - 1, world))


def seconds(what: Callable[[], Any]) -> float:
    start = time.process_time()
    what()
    return time.process_time() - start


def peak() -> float:
    """The most memory that the program has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(world: int) -> list[str]:
    batches = iter(loader(world))
    first = seconds(lambda: next(batches))
    steps = median(seconds(lambda: [next(batches) for _ in range(10)]) / 10 for _ in range(STEPS // 10))
    state = {**loader(world).state_dict(), "step": 100_000}
    resumed = loader(world)
    resumed.load_state_dict(state)
    resume = seconds(lambda: next(iter(resumed)))
    size = len(json.dumps(state, default=str))
    return [f"{world:,}", *(f"{1e3 * each:.2f}" for each in (first, steps, resume)), f"{size}", f"{peak() - START:.1f}"]


START = peak()


def main() -> None:
    about()
    next(iter(ArrayDataSource([np.arange(9)]).batch_iterator(2, shuffle=7)))
    rows = [row(world) for world in WORLDS]
    head = ["ranks", "first batch, ms", "a step, ms", "first batch at step 100,000, ms", "state, bytes", "memory, MB"]
    table(f"{SAMPLES:,} samples, shuffled, batches of {BATCH} for each rank: the last rank", head, rows)


if __name__ == "__main__":
    main()
