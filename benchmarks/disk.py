"""What a batch costs from a file, beside the same rows taken in memory, and beside the ways by hand.

    python benchmarks/disk.py

A full shuffle of rows of 784 bytes, batches of 256; and one by blocks, of compressed files, serially and in two
processes. Files are small enough to stay in the page cache. Asked for: contiguous HDF5, .npy and Arrow files at most
1.3 times `take` in memory, HDF5 in chunks without filters at most 6 times; by blocks 0.25 ms from gzip, 0.8 ms from
zstd, with two processes 1.6 times as fast.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from disk_peers import BATCH, BLOCK, WINDOW, by_blocks, by_hand, left_out
from timing import about, in_turn, median, per_item, table

from batchup import ArrayDataSource, BlockSampler, Loader, WorkerProcessPool
from batchup.storage import ArrowColumn, HDF5Array, ZarrArray

ROWS, STEPS, SLOW = 200_000, 200, 6
LIMITS = {".npy": 1.3, "HDF5 contiguous": 1.3, "Arrow IPC": 1.3, "HDF5 chunks": 6.0}
BLOCK_LIMITS = {"HDF5 gzip": 0.25, "zarr zstd": 0.8}  # milliseconds


def written(folder: Path, X: np.ndarray) -> dict[str, Any]:
    """The array-likes to measure, by name, each over a file of its own."""
    np.save(folder / "x.npy", X)
    found: dict[str, Any] = {".npy": np.load(folder / "x.npy", mmap_mode="r")}
    if importlib.util.find_spec("h5py"):
        import h5py

        with h5py.File(folder / "x.h5", "w") as file:
            file["contiguous"] = X
            file.create_dataset("chunks", data=X, chunks=(BLOCK, X.shape[1]))
            file.create_dataset("gzip", data=X, chunks=(BLOCK, X.shape[1]), compression="gzip", compression_opts=1)
        found |= {f"HDF5 {name}": HDF5Array(folder / "x.h5", name) for name in ["contiguous", "chunks", "gzip"]}
    if importlib.util.find_spec("zarr"):
        import zarr

        for name, how in [("raw", {"compressors": None}), ("zstd", {})]:
            zarr.create_array(folder / "x.zarr", name=name, data=X, chunks=(BLOCK, X.shape[1]), **how)
            found[f"zarr {name}"] = ZarrArray(folder / "x.zarr", name)
    if importlib.util.find_spec("pyarrow"):
        import pyarrow
        import pyarrow.ipc

        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.reshape(-1)), X.shape[1])
        made = pyarrow.table({"x": rows})
        for what, n in [("Arrow IPC", ROWS), ("Arrow IPC, record batches of 50,000", 50_000)]:
            path = folder / f"{n}.arrow"
            with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, made.schema) as writer:
                writer.write_table(made, max_chunksize=n)
            found[what] = ArrowColumn(path, "x")
    return found


def images(n: int) -> np.ndarray:
    """Pictures of 28 x 28 pixels with some blots, which compress about as those of digits do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:28, :28]
    made = np.zeros((20_000, 28, 28), np.uint8)
    for _ in range(3):
        cy, cx = rng.integers(6, 22, (2, len(made), 1, 1))
        size = rng.integers(2, 5, (len(made), 1, 1))
        blot = np.clip(255 - 40 * ((x - cx) ** 2 + (y - cy) ** 2) / size, 0, 255)
        np.maximum(made, blot.astype(np.uint8), out=made)
    return made.reshape(len(made), 784)[rng.integers(0, len(made), n)]


def main(rounds: int = 7) -> None:
    about()
    if left_out():
        print(f"not installed, and left out: {', '.join(left_out())}")
    X = images(ROWS)
    with tempfile.TemporaryDirectory() as name:
        arrays = written(Path(name), X)
        full_shuffle(Path(name), X, arrays, rounds)
        compressed = {what: array for what, array in arrays.items() if "gzip" in what or "zstd" in what}
        for array in compressed.values():
            array.close()
            array.cache = 16 << 20  # two windows and more: an epoch finds nothing of the last one
        with WorkerProcessPool(2) as pool:
            block_shuffle(Path(name), compressed, pool, min(rounds, 5))
            memory_of_workers(compressed, pool)


def full_shuffle(folder: Path, X: np.ndarray, arrays: dict[str, Any], rounds: int) -> None:
    rng = np.random.default_rng(1)
    picks = [rng.permutation(ROWS)[:BATCH] for _ in range(STEPS)]
    runs = {"take in memory": lambda: per_item(lambda: (X.take(pick, 0) for pick in picks))}
    for what, array in arrays.items():
        fetch = ArrayDataSource([array]).samples_by_indices_nomapping
        some = picks[: SLOW if "gzip" in what or "zstd" in what else STEPS]
        runs[what] = lambda fetch=fetch, some=some: per_item(lambda: (fetch(pick) for pick in some))
    for what, read in by_hand(folder, X).items():
        runs[what] = lambda read=read: per_item(lambda: (read(pick) for pick in picks[:SLOW]))
    found = in_turn(runs, rounds)
    lines = []
    for what in runs:
        ratio = median(a / b for a, b in zip(found[what], found["take in memory"], strict=True))
        limit = LIMITS.get(what)
        within = "" if limit is None else "yes" if ratio <= limit else "NO"
        allowed = "" if limit is None else f"{limit:.1f}"
        lines.append([what, f"{1e3 * median(found[what]):.3f}", f"{ratio:.2f}", allowed, within])
    head = ["from", "ms a batch", "times take", "allowed", "within"]
    table(f"{ROWS:,} rows of 784 bytes, batches of {BATCH}, full shuffle; medians of {rounds} rounds", head, lines)


def block_shuffle(folder: Path, arrays: dict[str, Any], pool: WorkerProcessPool, rounds: int) -> None:
    """Epochs by blocks of the chunks, mixed within a window; serially and in processes."""
    runs: dict[str, Any] = {}
    for what, array in arrays.items():
        source = ArrayDataSource([array], sampler=BlockSampler.of(array, WINDOW))
        for how, given in [("", None), (", 2 processes", pool)]:
            loader = Loader(source, BATCH, shuffle=7, pool=given)
            runs[what + how] = lambda loader=loader: per_item(lambda: loader)
    for what, epoch in by_blocks(folder, ROWS).items():
        runs[what] = lambda epoch=epoch: per_item(epoch)
    found = in_turn(runs, rounds)
    lines = []
    for what in runs:
        limit, one = BLOCK_LIMITS.get(what), found.get(what.removesuffix(", 2 processes"), found[what])
        times = median(a / b for a, b in zip(one, found[what], strict=True))
        ms = 1e3 * median(found[what])
        within = "" if limit is None else "yes" if ms <= limit else "NO"
        several = f"{times:.2f}" if "processes" in what else ""
        lines.append([what, f"{ms:.3f}", "" if limit is None else f"{limit:.2f}", within, several])
    head = ["from", "ms a batch", "allowed", "within", "times as fast"]
    table(
        f"The same in a shuffle by blocks, window {WINDOW}; with 2 processes it should be 1.6 times as fast",
        head,
        lines,
    )


def memory_of_workers(arrays: dict[str, Any], pool: WorkerProcessPool) -> None:
    """What two workers have for themselves, at the beginning and at the end of an epoch."""
    if not importlib.util.find_spec("psutil"):
        return
    import psutil

    def megabytes() -> float:
        mine = psutil.Process().children(recursive=True)
        return sum(process.memory_full_info().uss for process in mine) / 2 / 1e6

    lines = []
    for what, array in arrays.items():
        found, source = [], ArrayDataSource([array], sampler=BlockSampler.of(array, WINDOW))
        for i, _ in enumerate(Loader(source, BATCH, shuffle=7, pool=pool)):
            if i in (100, 400, 780):
                found.append(f"{megabytes():.0f}")
        lines.append([what, *found])
    table("Memory of a worker that is its own, MB", ["from", "batch 100", "batch 400", "batch 780"], lines)


if __name__ == "__main__":
    main()
