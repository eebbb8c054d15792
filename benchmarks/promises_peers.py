"""What stays the same with other workers and after a resume: batchup beside other libraries, tried and not read about.

    python benchmarks/promises_peers.py

Each library shuffles 512 samples by a seed and adds a random number to each, in batches of 4. Asked of each: are the
batches those of another number of workers? Are those after a resume within an epoch those of a run without one, in
their order and in their random numbers, with as many workers and with another number? "refused" is an error. What
is not installed is skipped. docs/explanation/comparison.rst has the answers.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from timing import about, table

N, BATCH, STOP = 512, 4, 5  # samples, samples in a batch, batches before the state is saved

Rows = list[tuple[list[int], list[float]]]  # of each batch, the samples and the random numbers


def rows(batches: Any) -> Rows:
    return [(np.asarray(i).tolist(), np.asarray(x).round(6).tolist()) for i, x in batches]


class OfBatchup:
    distribution = "batchup"

    @staticmethod
    def loader(workers: int) -> Any:
        import batchup

        def draw(i, rng):
            return i, rng.random(len(i))

        source = batchup.ArrayDataSource([np.arange(N)]).random_map(draw)
        return batchup.Loader(source, BATCH, shuffle=7, pool="processes", workers=workers)

    def whole(self, workers: int) -> Rows:
        with self.loader(workers) as loader:
            return rows(loader)

    def stopped(self, workers: int) -> tuple[Any, Rows]:
        with self.loader(workers) as loader:
            batches = iter(loader)
            for _ in itertools.islice(batches, STOP):
                pass
            return loader.state_dict(), rows(batches)

    def resumed(self, workers: int, state: Any) -> Rows:
        with self.loader(workers) as loader:
            loader.load_state_dict(state)
            return rows(loader)


class Drawn:
    """A data set of torch, which draws in ``__getitem__``, as transforms of torchvision do."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[int, float]:
        import torch

        return i, torch.rand(()).item()


class OfTorch:
    distribution = "torch"

    @staticmethod
    def loader(workers: int) -> Any:
        import torch
        from torch.utils.data import DataLoader

        return DataLoader(Drawn(), BATCH, shuffle=True, num_workers=workers, generator=torch.Generator().manual_seed(7))

    def whole(self, workers: int) -> Rows:
        return rows(self.loader(workers))


class OfTorchdata(OfTorch):
    distribution = "torchdata"

    @staticmethod
    def loader(workers: int) -> Any:
        import torch
        from torchdata.stateful_dataloader import StatefulDataLoader

        return StatefulDataLoader(
            Drawn(), BATCH, shuffle=True, num_workers=workers, generator=torch.Generator().manual_seed(7)
        )

    def stopped(self, workers: int) -> tuple[Any, Rows]:
        loader = self.loader(workers)
        batches = iter(loader)
        for _ in itertools.islice(batches, STOP):
            pass
        return loader.state_dict(), rows(batches)

    def resumed(self, workers: int, state: Any) -> Rows:
        loader = self.loader(workers)
        loader.load_state_dict(state)
        return rows(loader)


class OfGrain:
    distribution = "grain"

    @staticmethod
    def loader(workers: int) -> Any:
        import grain
        from absl import flags

        flags.FLAGS.mark_as_parsed()

        class Draw(grain.transforms.RandomMap):
            def random_map(self, i, rng):
                return i, rng.random()

        ds = grain.MapDataset.source(list(range(N))).seed(7).shuffle().random_map(Draw()).batch(BATCH)
        options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers)
        return iter(ds.to_iter_dataset().mp_prefetch(options))

    def whole(self, workers: int) -> Rows:
        return rows(self.loader(workers))

    def stopped(self, workers: int) -> tuple[Any, Rows]:
        batches = self.loader(workers)
        for _ in itertools.islice(batches, STOP):
            pass
        return batches.get_state(), rows(batches)

    def resumed(self, workers: int, state: Any) -> Rows:
        batches = self.loader(workers)
        batches.set_state(state)
        return rows(batches)


class OfDatasets:
    """In one process: within a DataLoader with workers, a shuffled one could not load its state (an IndexError)."""

    distribution = "datasets"

    @staticmethod
    def source() -> Any:
        import datasets

        datasets.disable_progress_bars()
        datasets.logging.set_verbosity_error()
        ds = datasets.Dataset.from_dict({"i": list(range(N))}).to_iterable_dataset(num_shards=4)
        return ds.shuffle(seed=7, buffer_size=16).map(lambda row: {**row, "x": Drawn()[0][1]})

    @staticmethod
    def rows(batches: Any) -> Rows:
        return rows((batch["i"], batch["x"]) for batch in batches)

    def whole(self, workers: int) -> Rows:
        from torch.utils.data import DataLoader

        return self.rows(DataLoader(self.source(), BATCH, num_workers=workers))

    def stopped(self, workers: int) -> tuple[Any, Rows]:
        ds = self.source()
        batches = ds.iter(BATCH)
        for _ in itertools.islice(batches, STOP):
            pass
        return ds.state_dict(), self.rows(batches)

    def resumed(self, workers: int, state: Any) -> Rows:
        ds = self.source()
        ds.load_state_dict(state)
        return self.rows(ds.iter(BATCH))


LIBRARIES = {
    "batchup": OfBatchup(),
    "torch DataLoader": OfTorch(),
    "torchdata StatefulDataLoader": OfTorchdata(),
    "grain": OfGrain(),
    "HF datasets, iterable, 1 process": OfDatasets(),
}


def same(one: Rows, other: Rows) -> str:
    """Which of samples and random numbers are the same, in the same order."""
    return ", ".join("yes" if [row[k] for row in one] == [row[k] for row in other] else "no" for k in range(2))


def answer(question: Callable[[], str]) -> str:
    try:
        return question()
    except Exception as error:
        return f"refused ({type(error).__name__})"


def after_resume(library: Any, workers: int) -> str:
    state, rest = library.stopped(2)
    return same(library.resumed(workers, state), rest)


def main() -> None:
    about()
    found = []
    for name, library in LIBRARIES.items():
        try:
            version = importlib.metadata.version(library.distribution)
        except importlib.metadata.PackageNotFoundError:
            print(f"{name}: not installed: skipped")
            continue
        answers = [answer(lambda each=library: same(each.whole(2), each.whole(1)))]
        for workers in (2, 1):
            resumes = hasattr(library, "resumed")
            answers.append(answer(lambda each=library, n=workers: after_resume(each, n)) if resumes else "no state")
        found.append([f"{name} {version}", *answers])
    head = ["order, random numbers", "1 worker as 2", "resumed with 2 of 2", "resumed with 1 of 2"]
    table("What stays the same", head, found)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
    main()
