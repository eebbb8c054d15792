"""Decoding JPEG files by two workers, beside other libraries, each as its documentation shows it.

    python benchmarks/decode_peers.py [--rounds N] [--record FILE]

All decode the same files by the same function of Pillow, so what differs is how the work is divided and how the
batches come back. (SPDL, DALI and others bring faster decoders of their own. They are not compared here.) The rates are
medians, and ratios are medians of the ratios within the rounds. What is not installed is skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from decode import BATCH, WORKERS, N, Photos, bare, written
from timing import about, in_turn, median, per_item, recorded, table

import batchup

Epoch = Callable[[], Iterator[Any]]


class ByIndex(Photos):
    """The photos as a data set of other libraries: one at a time."""

    def __getitem__(self, index: Any) -> np.ndarray:
        return super().__getitem__(int(index))


@contextlib.contextmanager
def with_torch(photos: Photos, order: np.ndarray) -> Iterator[Epoch]:
    """Processes; the arrays are collated to tensors in shared memory."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        ByIndex(photos.paths), BATCH, sampler=order.tolist(), num_workers=WORKERS, persistent_workers=True
    )
    yield lambda: iter(loader)
    loader._iterator._shutdown_workers()


@contextlib.contextmanager
def with_datasets(photos: Photos, order: np.ndarray) -> Iterator[Epoch]:
    """Paths in a Dataset, decoded by its transform in the processes of torch's DataLoader."""
    from datasets import Dataset
    from torch.utils.data import DataLoader

    decode = Photos(photos.paths).__getitem__

    def decoded(rows: dict[str, Any]) -> dict[str, Any]:
        return {"x": [decode(i) for i in rows["i"]]}

    ds = Dataset.from_dict({"i": list(range(N))}).with_transform(decoded)
    loader = DataLoader(ds, BATCH, sampler=order.tolist(), num_workers=WORKERS, persistent_workers=True)
    yield lambda: (batch["x"] for batch in loader)
    loader._iterator._shutdown_workers()


@contextlib.contextmanager
def with_spdl(photos: Photos, order: np.ndarray) -> Iterator[Epoch]:
    """Threads, photo by photo, then batches."""
    from spdl.pipeline import PipelineBuilder

    def epoch() -> Iterator[Any]:
        builder = PipelineBuilder().add_source(order.tolist()).pipe(photos.__getitem__, concurrency=WORKERS)
        pipeline = builder.aggregate(BATCH).pipe(np.stack).add_sink(3).build(num_threads=WORKERS)
        with pipeline.auto_stop():
            yield from pipeline

    yield epoch


@contextlib.contextmanager
def with_grain(photos: Photos, order: np.ndarray) -> Iterator[Epoch]:
    """Threads, photo by photo, then batches."""
    import grain

    def epoch() -> Iterator[Any]:
        ds = grain.MapDataset.source(order.tolist()).map(photos.__getitem__)
        return iter(ds.to_iter_dataset(grain.ReadOptions(num_threads=WORKERS)).batch(BATCH))

    yield epoch


@contextlib.contextmanager
def with_executor(photos: Photos, order: np.ndarray) -> Iterator[Epoch]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield lambda: bare(photos, executor, order)


@contextlib.contextmanager
def with_batchup(photos: Photos, order: np.ndarray, pool: Any = WORKERS, items: bool = False) -> Iterator[Epoch]:
    data = batchup.ParallelItems(photos, WORKERS, np.stack) if items else photos
    source = batchup.ArrayDataSource([data], indices=order)
    with batchup.Loader(source, BATCH, pool=pool, workers=WORKERS if pool == "processes" else None) as loader:
        yield lambda: iter(loader)


PEERS: dict[str, tuple[str, Any]] = {  # those that fork come first, before there are threads
    "torch": ("torch", with_torch),
    "HF datasets": ("datasets", with_datasets),
    "SPDL": ("spdl_core", with_spdl),
    "grain": ("grain", with_grain),
    "bare executor": ("", with_executor),
    "batchup": ("", with_batchup),
    "batchup, ParallelItems": ("", lambda photos, order: with_batchup(photos, order, items=True)),
    "batchup, processes": ("", lambda photos, order: with_batchup(photos, order, "processes")),
}


def installed(distribution: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return not distribution or bool(importlib.metadata.version(distribution))
    return False


def checked(epoch: Epoch, n: int = N) -> None:
    """All photos come."""
    got = sum(len(batch[0] if isinstance(batch, tuple) else batch) for batch in epoch())
    if got != n:
        raise AssertionError(f"there should be {n} photos, not {got}")


def main(rounds: int, record: str) -> None:
    about()
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # of torch, which copies it
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        photos = Photos(written(Path(folder)))
        order = np.random.RandomState(12345).permutation(N)
        runs: dict[str, Callable[[], float]] = {}
        for name, (distribution, peer) in PEERS.items():
            if not installed(distribution):
                print(f"{name}: not installed: skipped")
                continue
            epoch = stack.enter_context(peer(photos, order))
            checked(epoch)
            runs[name] = lambda epoch=epoch: per_item(epoch)
        found = in_turn(runs, rounds)
    title = f"{N} JPEG files of 500 x 375, batches of {BATCH}, {WORKERS} workers"
    if record:
        recorded(record, "decode", title, "images/s", found, BATCH)
    rows = [
        [name, f"{BATCH / median(times):.0f}", f"{ratio(found, name):.2f}"]
        for name, times in sorted(found.items(), key=lambda each: median(each[1]))
    ]
    table(title, ["way", "images/s", "batchup is times as fast"], rows)


def ratio(found: dict[str, list[float]], name: str) -> float:
    return median(theirs / ours for theirs, ours in zip(found[name], found["batchup"], strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", default="", help="file for the medians; docs/figures/speed.py draws it")
    options = parser.parse_args()
    main(options.rounds, options.record)
