"""Time per batch of weighted indices, compared with NumPy's `choice` and with a search in the cumulative weights.

    python benchmarks/weighted.py

Goal: 256 indices from 10 million weights in less than 100 µs, once the sampler is made.
"""

from __future__ import annotations

import time

import numpy as np
from timing import about, median, table

import batchup


def timed(draw, times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        draw()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    about()
    rows = []
    for n in (1_000, 100_000, 10_000_000):
        for name, power in (("uniform", 1), ("skewed", 30)):
            weights = np.random.default_rng(0).random(n) ** power
            start = time.perf_counter()
            sampler = batchup.WeightedSampler(weights)
            made = time.perf_counter() - start
            p = weights / weights.sum()
            cumulative = p.cumsum()
            rng = np.random.RandomState(12345)
            batches = sampler.shuffled_indices_batch_iterator(256, rng)
            other = np.random.RandomState(12345)
            assert (next(batches) == other.choice(n, size=256, p=p)).all()
            rows.append(
                [
                    f"{n:,}",
                    name,
                    f"{1e3 * made:.1f} ms",
                    f"{1e6 * timed(lambda: next(batches), 2000):.0f}",
                    f"{1e6 * timed(lambda: cumulative.searchsorted(other.random_sample(256), side='right'), 500):.0f}",
                    f"{1e6 * timed(lambda: other.choice(n, size=256, p=p), 5):,.0f}",
                ]
            )
    table(
        "Microseconds per batch of 256 indices, medians",
        ["weights", "distribution", "made in", "batchup", "search", "choice"],
        rows,
    )


if __name__ == "__main__":
    main()
