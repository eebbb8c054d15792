"""What `ArrayDataSource` costs per batch, beside a bare loop that draws the same permutation and calls `take`.

    python benchmarks/gather.py

Asked for: at most 3 µs more per batch than the bare loop, or 5 %, whichever is more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from timing import about, in_turn, median, per_item, table

import batchup

CASES = [
    ((1_000_000, 32), "float32", 256),
    ((1_000_000, 32), "float32", 4096),
    ((60_000, 28, 28), "uint8", 64),
    ((60_000, 28, 28), "uint8", 256),
    ((50_000, 3, 32, 32), "float32", 128),
]


def bare(X: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray]]:
    order = np.random.RandomState(12345).permutation(len(X))
    for start in range(0, len(X), batch_size):
        yield (X.take(order[start : start + batch_size], 0),)


def main(rounds: int = 15) -> None:
    about()
    rows = []
    for shape, dtype, batch_size in CASES:
        X = np.ones(shape, dtype)
        ds = batchup.ArrayDataSource([X])
        found = in_turn(
            {
                "bare": lambda X=X, n=batch_size: per_item(lambda: bare(X, n)),
                "batchup": lambda ds=ds, n=batch_size: per_item(
                    lambda: ds.batch_iterator(n, shuffle=np.random.RandomState(12345))
                ),
            },
            rounds,
        )
        more = median(b - a for a, b in zip(found["bare"], found["batchup"], strict=True))
        base = median(found["bare"])
        allowed = max(3e-6, 0.05 * base)
        rows.append(
            [
                f"{shape[0]:,} x {' x '.join(map(str, shape[1:]))} {dtype}",
                str(batch_size),
                f"{1e6 * base:.1f}",
                f"{1e6 * median(found['batchup']):.1f}",
                f"{1e6 * more:+.2f}",
                f"{1e6 * allowed:.2f}",
                "yes" if more <= allowed else "NO",
            ]
        )
    table(
        f"Microseconds per batch, medians of {rounds} epochs each, in turn",
        ["array", "batch", "bare loop", "batchup", "more", "allowed", "within"],
        rows,
    )


if __name__ == "__main__":
    main()
