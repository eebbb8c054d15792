"""What a `Loader` costs per batch over `batch_iterator`, without a pool, in memory.

    python benchmarks/loader.py

Asked for: at most 3 µs more per batch.
"""

from __future__ import annotations

import numpy as np
from timing import about, in_turn, median, per_item, table

import batchup

CASES = [
    ((100_000, 32), "float32", 64),
    ((1_000_000, 32), "float32", 256),
    ((60_000, 28, 28), "uint8", 256),
]
ALLOWED = 3e-6  # seconds


def main(rounds: int = 15) -> None:
    about()
    rows = []
    for shape, dtype, batch_size in CASES:
        for kind, shuffle in [("in order", None), ("shuffled", 7)]:
            ds = batchup.ArrayDataSource([np.ones(shape, dtype), np.arange(shape[0])])
            loader = batchup.Loader(ds, batch_size, shuffle=shuffle)
            found = in_turn(
                {
                    "plain": lambda ds=ds, n=batch_size, s=shuffle: per_item(lambda: ds.batch_iterator(n, shuffle=s)),
                    "loader": lambda loader=loader: per_item(lambda: loader),
                },
                rounds,
            )
            more = median(b - a for a, b in zip(found["plain"], found["loader"], strict=True))
            rows.append(
                [
                    f"{shape[0]:,} x {' x '.join(map(str, shape[1:]))} {dtype}, {kind}",
                    str(batch_size),
                    f"{1e6 * median(found['plain']):.1f}",
                    f"{1e6 * median(found['loader']):.1f}",
                    f"{1e6 * more:+.2f}",
                    "yes" if more <= ALLOWED else "NO",
                ]
            )
    table(
        f"Microseconds per batch, medians of {rounds} epochs each, in turn",
        ["arrays", "batch", "batch_iterator", "Loader", "more", "within 3"],
        rows,
    )


if __name__ == "__main__":
    main()
