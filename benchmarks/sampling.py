"""Time per batch and per epoch of the samplers, and of padding, beside what NumPy and PyTorch take.

    python benchmarks/sampling.py

Goals: 10**9 samples shuffled: the first batch in less than 20 ms, 1000 batches of 256 in less than 100 ms. Class counts
from 10**7 labels: 60 µs a batch of 256. Weights without replacement: 10**6 in 40 ms. Buckets over 10**6 lengths: the
plan of an epoch in 0.5 s, 20 µs a batch. `pad`: within 1.5 times `numpy.concatenate` of the same arrays.
"""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from timing import about, median, table

from batchup import (
    AbstractSampler,
    BlockSampler,
    BucketSampler,
    ClassCountSampler,
    LazyShuffleSampler,
    StandardSampler,
    WeightedSampler,
    pad,
)
from batchup.sampling import MixtureSampler

ROUNDS = 5


def seconds(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return median(found)


def first_and_rest(make: Callable[[], Iterator[Any]], n: int) -> tuple[str, str]:
    """Milliseconds to the first batch, and microseconds for each of the next ones."""
    first, rest = [], []
    for _ in range(3):
        start = time.perf_counter()
        batches = make()
        next(batches)
        begun = time.perf_counter()
        count = sum(1 for _ in itertools.islice(batches, n))
        first.append(begun - start)
        rest.append((time.perf_counter() - begun) / count)
    return f"{1e3 * median(first):.2f}", f"{1e6 * median(rest):.1f}"


def shuffled(sampler: AbstractSampler, batch_size: int = 256) -> Callable[[], Iterator[Any]]:
    return lambda: sampler.shuffled_indices_batch_iterator(batch_size, np.random.default_rng(0))


def orders() -> None:
    labels = (np.random.default_rng(0).random(10**7) < 0.1).astype(np.int64)
    lengths = np.random.default_rng(0).integers(1, 512, 10**6)
    far, blocks = LazyShuffleSampler(10**12), BlockSampler(10**6, block=256, window=32)
    counts, buckets = ClassCountSampler(labels, {0: 192, 1: 64}), BucketSampler(lengths)
    rows = [
        ["StandardSampler(10**6)", *first_and_rest(shuffled(StandardSampler(10**6)), 3900)],
        ["LazyShuffleSampler(10**6)", *first_and_rest(shuffled(LazyShuffleSampler(10**6)), 3900)],
        ["LazyShuffleSampler(10**9)", *first_and_rest(shuffled(LazyShuffleSampler(10**9)), 1000)],
        [
            "LazyShuffleSampler(10**12), from step 10**8",
            *first_and_rest(lambda: far.batches_from(10**8, 256, np.random.default_rng(0)), 1000),
        ],
        ["BlockSampler(10**6, block=256, window=32)", *first_and_rest(shuffled(blocks), 3900)],
        ["ClassCountSampler, 10**7 labels", *first_and_rest(shuffled(counts), 3000)],
        ["MixtureSampler of 2 sources", *first_and_rest(shuffled(MixtureSampler([10**7, 10**5])), 3000)],
        ["MixtureSampler of 20 sources", *first_and_rest(shuffled(MixtureSampler([10**6] * 20)), 3000)],
        ["BucketSampler, 10**6 lengths, batches of 32", *first_and_rest(shuffled(buckets, 32), 10_000)],
    ]
    table("Indices of a batch of 256", ["sampler", "first batch, ms", "each other, µs"], rows)
    tracemalloc.start()
    for _ in itertools.islice(shuffled(LazyShuffleSampler(10**9))(), 100):
        pass
    print(f"memory of LazyShuffleSampler(10**9): {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
    tracemalloc.stop()


def epochs() -> None:
    weights = np.random.default_rng(0).random(10**6)
    rng, sampler = np.random.default_rng(1), WeightedSampler(weights, replace=False)
    ours = seconds(lambda: next(sampler.shuffled_indices_batch_iterator(256, rng)))
    rows = [["batchup", f"{1e3 * ours:.0f}"]]
    p = weights / weights.sum()
    numpys = seconds(lambda: rng.choice(10**6, 10**6, replace=False, p=p), 1)
    rows.append(["numpy choice(replace=False)", f"{1e3 * numpys:.0f}"])
    try:
        import torch
    except ImportError:
        pass
    else:
        tensor = torch.from_numpy(weights)
        torchs = seconds(lambda: torch.multinomial(tensor, 10**6, replacement=False).tolist(), 3)
        rows.append(["torch multinomial, as its sampler does", f"{1e3 * torchs:.0f}"])
    table("A weighted epoch of 10**6 without replacement", ["", "ms"], rows)


def padding() -> None:
    rng, rows = np.random.default_rng(0), []
    lengths = rng.integers(480, 513, 64)
    for name, arrays in {
        "int64, (n,)": [rng.integers(0, 9, n) for n in lengths],
        "float32, (n, 80)": [rng.random((n, 80), np.float32) for n in lengths],
    }.items():
        one = seconds(lambda arrays=arrays: np.concatenate(arrays), 50)
        ours = seconds(lambda arrays=arrays: pad()(arrays), 50)
        rows.append([name, f"{1e6 * one:.0f}", f"{1e6 * ours:.0f}", f"{ours / one:.2f}"])
    table("64 arrays of 480 to 512", ["arrays", "concatenate, µs", "pad, µs", "times"], rows)
    sampler = BucketSampler(rng.integers(1, 512, 10**6), multiple=8)
    waste = sampler.waste(32)
    print(f"padding in buckets: {waste.buckets:.1%}, in a plain shuffle: {waste.shuffled:.1%}")


if __name__ == "__main__":
    about()
    orders()
    epochs()
    padding()
