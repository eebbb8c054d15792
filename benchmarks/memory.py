"""What a large source costs two worker processes, and how soon batches come.

    python benchmarks/memory.py

Asked for: under 60 MB of private memory per worker over a source of 1 GB; its first batch within 1.5 times that of an
already mapped .npy file; the first batch of a later epoch in under 3 ms; resident memory that stays flat over 1000
batches of 38.5 MB with a consumer slower than the workers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from operator import truediv
from pathlib import Path

import numpy as np
import psutil
from timing import about, in_turn, median, table

import batchup


def private_mb(pid: int) -> float:
    return psutil.Process(pid).memory_full_info().uss / 1e6


def pids(pool: batchup.WorkerProcessPool) -> list[int]:
    return [worker.process.pid for worker in pool.engine._group.workers]


def first_batch(pool: batchup.WorkerProcessPool, source: batchup.ParallelDataSource) -> float:
    """Seconds from asking for an iterator to having its first batch."""
    start = time.perf_counter()
    batches = source.batch_iterator(64, shuffle=7)
    next(batches)
    seconds = time.perf_counter() - start
    batches.close()
    return seconds


def started_pool() -> batchup.WorkerProcessPool:
    pool = batchup.WorkerProcessPool(2)
    list(pool.work_stream([(int,)] * 8))
    return pool


def first_batch_of_all(array: np.ndarray) -> float:
    """Seconds from making a pool to having its first batch: the copy is made while the workers start."""
    start = time.perf_counter()
    with batchup.WorkerProcessPool(2) as pool:
        batches = pool.parallel_data_source([array]).batch_iterator(64, shuffle=7)
        next(batches)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1000, help="of 38.5 MB, for the last table")
    arguments = parser.parse_args()
    about()
    shape = (250_000, 1000)  # 1 GB of float32
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        X = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        for start in range(0, len(X), 10_000):
            X[start : start + 10_000] = start
        del X
        sources = {
            "mapped .npy file": lambda: np.load(path, mmap_mode="r"),
            "array": lambda: np.load(path),
            "array over bytes": lambda: np.frombuffer(path.read_bytes(), np.float32, offset=128).reshape(shape),
        }
        for name, load in sources.items():
            with started_pool() as pool:
                ahead = pool.parallel_data_source([load()])
                first = first_batch(pool, ahead)
                for _ in ahead.batch_iterator(64, shuffle=7):
                    pass
                private = max(private_mb(pid) for pid in pids(pool))
                later = median(first_batch(pool, ahead) for _ in range(11))
            rows.append([name, f"{first:.2f}", f"{1e3 * later:.1f}", f"{private:.0f}"])
        table(
            "A source of 1 GB, two workers",
            ["source", "first batch, s", "first batch of a later epoch, ms", "private MB per worker"],
            rows,
        )
        times = in_turn({name: partial(first_batch_of_all, load()) for name, load in sources.items()}, rounds=5)
        mapped = times["mapped .npy file"]
        rows = [
            [name, f"{median(each):.2f}", f"{median(map(truediv, each, mapped)):.2f}"] for name, each in times.items()
        ]
        table("The same, from making the pool", ["source", "first batch, s", "times that of the file"], rows)
    rows = []
    for mb in (1, 10, 100):
        X = np.ones((mb * 1000, 250), np.float32)
        with started_pool() as pool:
            ahead = pool.parallel_data_source([X])
            first_batch(pool, ahead)
            later = median(first_batch(pool, ahead) for _ in range(31))
        rows.append([f"{mb} MB", f"{1e3 * later:.2f}"])
    table("First batch of a later epoch, warm pool (medians)", ["array", "ms"], rows)
    rows = []
    with started_pool() as pool:
        depth = 6
        ds = batchup.ArrayDataSource([np.ones((256, 3, 224, 224), np.float32)], repeats=-1)
        batches = pool.parallel_data_source(ds, depth).batch_iterator(64, shuffle=7)
        process = psutil.Process()
        for n in range(1, arguments.batches + 1):
            next(batches)
            time.sleep(0.01)  # slower than the workers
            if n in (20, 100, 300, 1000, arguments.batches):
                stats = batches.stats()
                members = [process, *process.children()]
                total = sum(member.memory_full_info().pss for member in members) / 1e6
                rows.append([str(n), str(stats.slots), f"{stats.slots - depth:+d}", f"{total:.0f}"])
        batches.close()
    table(
        f"Batches of 38.5 MB, a buffer of {depth}", ["after", "slots", "over the buffer", "MB of all processes"], rows
    )


if __name__ == "__main__":
    main()
