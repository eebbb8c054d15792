"""The DataLoader beside PyTorch's, on the same datasets, in one run.

    python benchmarks/torch_loader.py [rounds]

Asked for: a TensorDataset at 20 times PyTorch's rate, a dataset of arrays at 3 times, JPEG files at 1.1 times and at
0.97 of a bare thread pool; no more than 10 microseconds for `to_torch`; a first batch of a loop that is no later.

Beside the time of each batch stands the work in it: the time of all cores, in this program and its workers. Where both
keep all cores busy, as with JPEG files, its ratio is what a quiet machine would show.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from decode import BATCH, WORKERS, N, Photos, bare, written
from timing import about, in_turn, median, per_item, table
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset, TensorDataset

from batchup import Loader
from batchup.interop.torch import DataLoader

LOADERS: list[tuple[str, Any]] = [("torch", TorchLoader), ("batchup", DataLoader)]
try:
    LOADERS.append(("torchdata", importlib.import_module("torchdata.stateful_dataloader").StatefulDataLoader))
except ImportError:
    print("torchdata is not installed: its StatefulDataLoader is left out")
ME = psutil.Process()


class Arrays(Dataset):
    """Pictures in memory, by index."""

    def __init__(self, n: int) -> None:
        self.pictures = np.random.RandomState(0).rand(64, 3, 224, 224).astype(np.float32)
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return self.pictures[i % 64], i


def compare(
    title: str, dataset: Any, rounds: int, others: dict[str, Callable[[], Any]] | None = None, **kwargs: Any
) -> None:
    """The time for each batch, with the workers already there, and the work in it; `others` give batches, too."""
    loaders = {name: cls(dataset, persistent_workers=kwargs["num_workers"] > 0, **kwargs) for name, cls in LOADERS}
    work: dict[str, list[float]] = {name: [] for name in [*loaders, *(others or {})]}
    runs = {name: timed(lambda loader=loader: loader, work[name]) for name, loader in loaders.items()}
    runs |= {name: timed(run, work[name]) for name, run in (others or {}).items()}
    found = in_turn(runs, rounds)
    times = [[f"{1e6 * median(each[name]):.0f}" for each in (found, work)] for name in runs]
    ratios = [[ratio(each, name) for each in (found, work)] for name in runs]
    rows = [[name, *each, *faster] for name, each, faster in zip(runs, times, ratios, strict=True)]
    head = ["loader", "us/batch", "us of work", "batchup is faster by", "and in work"]
    table(f"{title}, {kwargs['num_workers']} workers", head, rows)
    loaders["batchup"].close()


def ratio(found: dict[str, list[float]], name: str) -> str:
    """How many times as long as batchup it took, round by round."""
    return f"{median(theirs / ours for theirs, ours in zip(found[name], found['batchup'], strict=True)):.2f}"


def timed(run: Callable[[], Any], work: list[float] | None = None) -> Callable[[], float]:
    """Seconds for each batch; those of all cores go to `work`."""

    def once() -> float:
        before, n = seconds_of_work(), 0

        def counted() -> Any:
            nonlocal n
            for batch in run():
                n += 1
                yield batch

        seconds = per_item(counted)
        if work is not None:
            work.append((seconds_of_work() - before) / n)
        return seconds

    return once


def seconds_of_work() -> float:
    return sum(sum(process.cpu_times()[:2]) for process in [ME, *ME.children(recursive=True)])


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
    dataset = TensorDataset(torch.rand(1_000_000, 32), torch.arange(1_000_000))
    for workers in (0, 2):
        compare(
            "TensorDataset 1,000,000 x 32, batch 256",
            dataset,
            rounds,
            batch_size=256,
            shuffle=True,
            num_workers=workers,
        )
    compare("arrays 3 x 224 x 224, batch 64", Arrays(1024), rounds, batch_size=64, num_workers=2)
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(written(Path(folder)))
        order = np.random.RandomState(12345).permutation(N)
        with ThreadPoolExecutor(WORKERS) as executor:
            others = {"bare thread pool": lambda: bare(photos, executor, order)}
            kwargs = {"batch_size": BATCH, "shuffle": True, "num_workers": WORKERS}
            compare("JPEG files, batch 64", photos, rounds, others, **kwargs)

    loaders = {name: cls(Arrays(256), batch_size=64, num_workers=2, persistent_workers=True) for name, cls in LOADERS}
    found = in_turn({name: first_batch(loader) for name, loader in loaders.items()}, rounds)
    rows = [[name, f"{1e3 * median(times):.1f}"] for name, times in found.items()]
    table("first batch of a loop, workers there", ["loader", "ms"], rows)
    loaders["batchup"].close()

    arrays = Loader([np.zeros((100_000, 32)), np.arange(100_000)], 64)
    tensors = arrays.to_torch()
    plain = {"Loader": timed(lambda: arrays), "to_torch": timed(lambda: tensors)}
    found = in_turn(plain, rounds)
    more = median(b - a for a, b in zip(found["Loader"], found["to_torch"], strict=True))
    table("to_torch, two arrays", ["what", "us/batch"], [["added", f"{1e6 * more:.1f}"]])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
