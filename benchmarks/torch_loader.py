"""The DataLoader beside PyTorch's, on the same datasets, in one run.

    python benchmarks/torch_loader.py [rounds]

Asked for: a TensorDataset at 20 times PyTorch's rate, a dataset of arrays at 3 times, JPEG files at 1.1 times; no more
than 10 microseconds for `to_torch`; and a first batch of a loop that comes no later.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decode import Photos, written
from timing import about, in_turn, median, per_item, table
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset, TensorDataset

from batchup import Loader
from batchup.interop.torch import DataLoader

LOADERS: list[tuple[str, Any]] = [("torch", TorchLoader), ("batchup", DataLoader)]


class Arrays(Dataset):
    """Pictures in memory, by index."""

    def __init__(self, n: int) -> None:
        self.pictures = np.random.RandomState(0).rand(64, 3, 224, 224).astype(np.float32)
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return self.pictures[i % 64], i


def compare(title: str, dataset: Any, rounds: int, **kwargs: Any) -> None:
    """The time for each batch, with the workers already there."""
    loaders = {name: cls(dataset, persistent_workers=kwargs["num_workers"] > 0, **kwargs) for name, cls in LOADERS}
    found = in_turn({name: timed(loader) for name, loader in loaders.items()}, rounds)
    pairs = zip(found["torch"], found["batchup"], strict=True)
    ratio = median(theirs / ours for theirs, ours in pairs)
    rows = [[name, f"{1e6 * median(times):.0f}"] for name, times in found.items()]
    table(f"{title}, {kwargs['num_workers']} workers", ["loader", "us/batch"], [*rows, ["ratio", f"{ratio:.2f}"]])
    loaders["batchup"].close()


def timed(loader: Any) -> Callable[[], float]:
    return lambda: per_item(lambda: loader)


def first_batch(loader: Any) -> Callable[[], float]:
    """Seconds until the first batch of a loop, once the workers are there."""

    def run() -> float:
        begun = time.perf_counter()
        batches = iter(loader)
        next(batches)
        seconds = time.perf_counter() - begun
        for _ in batches:
            pass
        return seconds

    return run


def main(rounds: int = 5) -> None:
    about()
    print(f"PyTorch {torch.__version__}")
    tensors = TensorDataset(torch.rand(100_000, 32), torch.arange(100_000))  # torch takes long for a million
    for workers in (0, 2):
        compare(
            "TensorDataset 100,000 x 32, batch 256", tensors, rounds, batch_size=256, shuffle=True, num_workers=workers
        )
    compare("arrays 3 x 224 x 224, batch 64", Arrays(1024), rounds, batch_size=64, num_workers=2)
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(written(Path(folder)))
        compare("JPEG files, batch 64", photos, rounds, batch_size=64, shuffle=True, num_workers=2)

    loaders = {name: cls(Arrays(256), batch_size=64, num_workers=2, persistent_workers=True) for name, cls in LOADERS}
    found = in_turn({name: first_batch(loader) for name, loader in loaders.items()}, rounds)
    rows = [[name, f"{1e3 * median(times):.1f}"] for name, times in found.items()]
    table("first batch of a loop, workers there", ["loader", "ms"], rows)
    loaders["batchup"].close()

    arrays = Loader([np.zeros((100_000, 32)), np.arange(100_000)], 64)
    plain = {"Loader": timed(arrays), "to_torch": timed(arrays.to_torch())}
    found = in_turn(plain, rounds)
    more = median(b - a for a, b in zip(found["Loader"], found["to_torch"], strict=True))
    table("to_torch, two arrays", ["what", "us/batch"], [["added", f"{1e6 * more:.1f}"]])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
