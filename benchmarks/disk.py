"""What a batch costs from a file, beside the same rows taken in memory, and beside the ways by hand.

    python benchmarks/disk.py

A full shuffle of rows of 784 bytes, batches of 256. Files are small enough to stay in the page cache.
Asked for: contiguous HDF5, .npy and Arrow files at most 1.3 times `take` in memory, HDF5 in chunks without filters at
most 6 times.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from timing import about, in_turn, median, per_item, table

from batchup import ArrayDataSource, WorkerProcessPool
from batchup.storage import ArrowColumn, HDF5Array, ZarrArray

ROWS, BATCH, STEPS, SLOW = 200_000, 256, 200, 6
LIMITS = {".npy": 1.3, "HDF5 contiguous": 1.3, "Arrow IPC": 1.3, "HDF5 chunks": 6.0}


def written(folder: Path, X: np.ndarray) -> dict[str, Any]:
    """The array-likes to measure, by name, each over a file of its own."""
    np.save(folder / "x.npy", X)
    found: dict[str, Any] = {".npy": np.load(folder / "x.npy", mmap_mode="r")}
    if importlib.util.find_spec("h5py"):
        import h5py

        with h5py.File(folder / "x.h5", "w") as file:
            file["contiguous"] = X
            file.create_dataset("chunks", data=X, chunks=(256, X.shape[1]))
            file.create_dataset("gzip", data=X, chunks=(256, X.shape[1]), compression="gzip", compression_opts=1)
        found |= {f"HDF5 {name}": HDF5Array(folder / "x.h5", name) for name in ["contiguous", "chunks", "gzip"]}
    if importlib.util.find_spec("zarr"):
        import zarr

        for name, how in [("raw", {"compressors": None}), ("zstd", {})]:
            zarr.create_array(folder / "x.zarr", name=name, data=X, chunks=(256, X.shape[1]), **how)
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


def by_hand(folder: Path) -> dict[str, Callable[[np.ndarray], Any]]:
    """What people write without batchup."""
    found: dict[str, Callable[[np.ndarray], Any]] = {}
    if importlib.util.find_spec("h5py"):
        import h5py

        file = h5py.File(folder / "x.h5", "r")

        def rising(dataset: Any, pick: np.ndarray) -> np.ndarray:
            once, places = np.unique(pick, return_inverse=True)
            return dataset[once][places]

        found["h5py by hand, contiguous"] = lambda pick: rising(file["contiguous"], pick)
        found["h5py by hand, chunks"] = lambda pick: rising(file["chunks"], pick)
        found["h5py row by row, chunks"] = lambda pick: np.stack([file["chunks"][i] for i in pick.tolist()])
        found["h5py by hand, gzip"] = lambda pick: rising(file["gzip"], pick)
    if importlib.util.find_spec("zarr"):
        import zarr

        group = zarr.open_group(folder / "x.zarr", mode="r")
        found["zarr by hand, raw"] = lambda pick: group["raw"].oindex[pick]
        found["zarr by hand, zstd"] = lambda pick: group["zstd"].oindex[pick]
    return found


def torch_loader(folder: Path) -> Callable[[], Iterator[Any]] | None:
    """PyTorch's DataLoader over h5py, a row at a time, in this process."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("h5py")):
        return None
    import h5py
    import torch.utils.data

    class Rows(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.dataset = h5py.File(folder / "x.h5", "r")["chunks"]

        def __len__(self) -> int:
            return len(self.dataset)

        def __getitem__(self, i: int) -> np.ndarray:
            return self.dataset[i]

    loader = torch.utils.data.DataLoader(Rows(), batch_size=BATCH, shuffle=True)
    return lambda: (batch for batch, _ in zip(loader, range(SLOW), strict=False))


def main(rounds: int = 7) -> None:
    about()
    X = np.random.default_rng(0).integers(0, 8, (ROWS, 784), dtype=np.uint8)
    rng = np.random.default_rng(1)
    picks = [rng.permutation(ROWS)[:BATCH] for _ in range(STEPS)]
    with tempfile.TemporaryDirectory() as name:
        arrays = written(Path(name), X)
        runs = {"take in memory": lambda: per_item(lambda: (X.take(pick, 0) for pick in picks))}
        for what, array in arrays.items():
            slow = "gzip" in what or "zstd" in what
            source = ArrayDataSource([array])
            fetch = source.samples_by_indices_nomapping
            some_picks = picks[: SLOW if slow else STEPS]
            runs[what] = lambda fetch=fetch, p=some_picks: per_item(lambda: (fetch(pick) for pick in p))
        for what, read in by_hand(Path(name)).items():
            runs[what] = lambda read=read: per_item(lambda: (read(pick) for pick in picks[:SLOW]))
        peer = torch_loader(Path(name))
        if peer is not None:
            runs["torch DataLoader, h5py chunks"] = lambda: per_item(peer)
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
        in_order({what: arrays[what] for what in arrays if "gzip" in what or "zstd" in what}, rounds)


def in_order(arrays: dict[str, Any], rounds: int) -> None:
    """An epoch in the order of the file, where each chunk is decompressed once; serially and in processes."""
    lines = []
    with WorkerProcessPool(2) as pool:
        for what, array in arrays.items():
            array.close()
            array.cache = 0  # the next epoch decompresses again, here as in the processes
            source = ArrayDataSource([array])
            two = pool.parallel_data_source(source)
            found = in_turn(
                {
                    "one": lambda s=source: per_item(lambda: s.batch_iterator(BATCH)),
                    "two": lambda s=two: per_item(lambda: s.batch_iterator(BATCH)),
                },
                min(rounds, 3),
            )
            lines.append([what, *(f"{1e3 * median(found[key]):.3f}" for key in ("one", "two"))])
    table("In the order of the file, ms a batch", ["from", "serial", "2 processes"], lines)


if __name__ == "__main__":
    main()
