"""How fast batches come from two worker processes, beside other libraries that do it, each in its fastest way.

    python benchmarks/transport.py [--rounds N] [--only a,b,c] [--record FILE]

Five kinds of work: (a) batches of 64x3x224x224 float32, gathered in shuffled order; (b) as large, made by a cheap
function, which makes a new array or fills one that it is given; (c) 256x32 float32, shuffled, 20 prepared ahead; (d)
the same, 100 ahead, so that 25 may travel together; (e) the same, 8 ahead. One go of each library after the other,
round after round; a ratio is the median of the ratios within the rounds. All pools stay alive, so that starting them is
not counted; all of an epoch is.

Asked for, of batchup: in (a) and (b) 5 times torch and 1.5 times SPDL, in (a) also half of copying the batch within one
process to memory that is in use already; in (c) to (e) 1.5 times the best. What is not installed is skipped.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import faulthandler
import functools
import importlib.metadata
import itertools
import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

import joblib
import numpy as np
from timing import about, in_turn, median, recorded, table

import batchup

LOT = 25  # batches, where several travel together


class Work(NamedTuple):
    """What is to be done."""

    title: str
    shape: tuple[int, ...]  # of the data
    batch_size: int
    batches: int  # in an epoch; the slow ones have a part of it
    depth: int  # batches prepared ahead
    makes: bool = False  # whether batches are made, not gathered

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return (self.batch_size, *self.shape[1:])

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.batch_shape)) * 4

    @property
    def small(self) -> bool:
        return self.nbytes < 1 << 20


WORKS = {
    "a": Work("64x3x224x224 float32, gathered", (384, 3, 224, 224), 64, 60, 8),
    "b": Work("64x3x224x224 float32, all of one value", (384, 3, 224, 224), 64, 60, 8, makes=True),
    "c": Work("256x32 float32, gathered", (100_000, 32), 256, 3125, 20),
    "d": Work("256x32 float32, gathered", (100_000, 32), 256, 3125, 100),
    "e": Work("256x32 float32, gathered", (100_000, 32), 256, 3125, 8),
}


@functools.cache
def data(shape: tuple[int, ...]) -> np.ndarray:
    """The same numbers in every process."""
    return np.random.default_rng(0).random(shape, np.float32)


def rng() -> np.random.RandomState:
    return np.random.RandomState(12345)


def picks(work: Work, n: int) -> Iterator[np.ndarray]:
    """The indices of `n` batches, the same ones for all libraries."""
    sampler = batchup.StandardSampler(work.shape[0], repeats=-1)
    return itertools.islice(sampler.shuffled_indices_batch_iterator(work.batch_size, rng()), n)


def batch(work: Work, pick: np.ndarray) -> np.ndarray:
    if work.makes:
        return np.full(work.batch_shape, pick[0], np.float32)
    return data(work.shape).take(pick, 0)


# Each of these is a context manager around workers; it gives a function that begins an epoch.

Epoch = Callable[[], Iterator[Any]]


def filled(work: Work, pick: np.ndarray, array: np.ndarray) -> np.ndarray:
    """A batch that is made in memory that is there already."""
    array.fill(pick[0])
    return array


@contextlib.contextmanager
def with_batchup(work: Work, n: int, fills: bool = False) -> Iterator[Epoch]:
    def made(pick: np.ndarray) -> tuple[np.ndarray]:
        if fills:
            return (filled(work, pick, batchup.empty(work.batch_shape, np.float32)),)
        return (batch(work, pick),)

    repeats = -(-n * work.batch_size // work.shape[0])
    source: Any = batchup.ArrayDataSource([data(work.shape)], repeats=repeats)
    if work.makes:
        source = batchup.ArrayDataSource([np.arange(work.shape[0])], repeats=repeats).map(made)
    with batchup.WorkerProcessPool(2) as pool:
        batches = pool.parallel_data_source(source, work.depth)

        def epoch() -> Iterator[np.ndarray]:
            for (x,) in batches.batch_iterator(work.batch_size, shuffle=rng()):
                yield x
                del x

        yield epoch


class Gathered:
    """A data set of torch that gives whole batches, as NumPy arrays."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def __len__(self) -> int:
        return self.work.shape[0]

    def __getitem__(self, pick: np.ndarray) -> np.ndarray:
        return batch(self.work, pick)


class Filled(Gathered):
    """The same, as tensors: these travel through shared memory."""

    def __getitem__(self, pick: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(batch(self.work, pick))


class Picks:
    """A sampler of torch: the indices of batches, or one by one."""

    def __init__(self, work: Work, n: int, one_by_one: bool = False) -> None:
        self.work, self.n, self.one_by_one = work, n, one_by_one

    def __len__(self) -> int:
        return self.n * (self.work.batch_size if self.one_by_one else 1)

    def __iter__(self) -> Iterator[Any]:
        for pick in picks(self.work, self.n):
            if self.one_by_one:
                yield from pick.tolist()
            else:
                yield pick


def as_it_is(x: Any) -> Any:
    return x


@contextlib.contextmanager
def with_torch(work: Work, n: int) -> Iterator[Epoch]:
    """Large batches are gathered by the usual collation, which stacks views of samples straight in shared memory: about
    1.5 times as fast as a gather, which is copied there. Small ones travel as arrays: a tensor needs a file each."""
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    how: dict[str, Any] = {"batch_size": None, "sampler": Picks(work, n)}
    if work.small:
        how |= {"dataset": Gathered(work), "collate_fn": as_it_is}
    elif work.makes:
        how |= {"dataset": Filled(work)}
    else:
        samples = torch.from_numpy(data(work.shape))
        how = {"batch_size": work.batch_size, "sampler": Picks(work, n, one_by_one=True), "dataset": samples}
    loader = DataLoader(**how, num_workers=2, persistent_workers=True, prefetch_factor=work.depth // 2)
    yield lambda: (torch.as_tensor(x) for x in loader)
    loader._iterator._shutdown_workers()


def to_array(rows: Any) -> np.ndarray:
    """The rows of a table of Arrow as an array, without a loop over them."""
    return rows["x"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)


@contextlib.contextmanager
def with_datasets(work: Work, n: int) -> Iterator[Epoch]:
    """A Dataset of Hugging Face in memory, which gives whole batches to the workers of torch's DataLoader, as its
    documentation advises. Small ones are taken from Arrow directly: its own NumPy format takes 9 times as long."""
    import datasets
    import pyarrow as pa
    from torch.utils.data import DataLoader

    if work.small:
        rows = pa.FixedSizeListArray.from_arrays(pa.array(data(work.shape).ravel()), work.shape[1])
        ds = datasets.Dataset(pa.table({"x": rows})).with_format("arrow")
    else:
        features = datasets.Features({"x": datasets.Array3D(work.shape[1:], "float32")})
        ds = datasets.Dataset.from_dict({"x": list(data(work.shape))}, features=features).with_format("numpy")
    how = {"collate_fn": to_array} if work.small else {}
    loader = DataLoader(
        ds,
        batch_size=None,
        sampler=Picks(work, n),
        num_workers=2,
        persistent_workers=True,
        prefetch_factor=work.depth // 2,
        **how,
    )
    yield lambda: (x if work.small else x["x"] for x in loader)
    loader._iterator._shutdown_workers()


class Half:
    """What one of two processes of SPDL gives: every second batch, or list of batches."""

    def __init__(self, work: Work, n: int, place: int, lot: int, fills: bool) -> None:
        self.work, self.n, self.place, self.lot = work, n, place, lot
        new = work.makes and not fills
        # what is given is copied before the next one is asked for
        self.out = None if new else [np.empty(work.batch_shape, np.float32) for _ in range(lot)]

    def batch(self, i: int, pick: np.ndarray) -> np.ndarray:
        if self.out is None:
            return batch(self.work, pick)
        if self.work.makes:
            return filled(self.work, pick, self.out[i])
        return data(self.work.shape).take(pick, 0, self.out[i], "clip")

    def __iter__(self) -> Iterator[Any]:
        rest = picks(self.work, self.n)
        lots = iter(lambda: list(itertools.islice(rest, self.lot)), [])
        for lot in itertools.islice(lots, self.place, None, 2):
            made = [self.batch(i, pick) for i, pick in enumerate(lot)]
            yield made if self.lot > 1 else made[0]


@contextlib.contextmanager
def with_spdl(work: Work, n: int, lot: int = 1, fills: bool = False) -> Iterator[Epoch]:
    """Its arenas of shared memory: a pool of segments, mapped without a copy, for large batches; a ring for small ones.
    Its pools of processes and its regions were slower."""
    from spdl.pipeline import SharedMemoryRingBuffer, SharedMemorySegmentPool, iterate_in_subprocess

    logging.getLogger("spdl").setLevel(logging.ERROR)
    depth = max(2, work.depth // 2 // lot)
    halves = []
    for place in range(2):
        if work.small:
            arena: Any = SharedMemoryRingBuffer((depth + 2) * lot * work.nbytes)
        else:
            arena = SharedMemorySegmentPool(lot * work.nbytes, depth + 2)
        half = functools.partial(Half, work, n, place, lot, fills)
        halves.append(iterate_in_subprocess(half, buffer_size=depth, arena=arena, daemon=True))

    def epoch() -> Iterator[np.ndarray]:
        turns = collections.deque(iter(half) for half in halves)
        while turns:
            part = next(turns[0], None)
            if part is None:
                turns.popleft()
                continue
            turns.rotate(-1)
            if lot == 1:
                yield part
            else:
                yield from part
            del part

    yield epoch
    for half in halves:
        half._shutdown()


class Batches:
    """A source of grain: batches, or as many as `lot` in one array."""

    def __init__(self, work: Work, n: int, lot: int) -> None:
        self.work, self.n, self.lot = work, n, lot

    def __len__(self) -> int:
        return self.n // self.lot

    @functools.cached_property
    def picks(self) -> list[np.ndarray]:
        joined = self.work._replace(batch_size=self.work.batch_size * self.lot)
        return list(picks(joined, len(self)))

    def __getitem__(self, i: int) -> np.ndarray:
        pick = self.picks[i]
        if self.work.makes or self.work.small:
            return batch(self.work, pick)
        from grain.multiprocessing import SharedMemoryArray

        return data(self.work.shape).take(pick, 0, SharedMemoryArray(self.work.batch_shape, np.float32), "clip")


@contextlib.contextmanager
def with_grain(work: Work, n: int, lot: int = 1) -> Iterator[Epoch]:
    """Its workers end with an iteration: so this is one without an end. What it has ready when an epoch begins is taken
    beforehand, and not counted. Large batches are gathered straight into its shared memory."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # it misses JAX, which it does not need
    import grain
    from absl import flags
    from grain import experimental

    flags.FLAGS.mark_as_parsed()  # it has flags of its own, for programs that absl starts
    depth = max(2, work.depth // 2 // lot)
    ds = grain.MapDataset.source(Batches(work, n, lot)).repeat()
    ds = ds.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    if work.small and lot == 1:  # through the pipe
        ds = experimental.WithOptionsIterDataset(ds, experimental.DatasetOptions(min_shm_size=1 << 20))
    ds = ds.mp_prefetch(grain.MultiprocessingOptions(num_workers=2, per_worker_buffer_size=depth))
    if lot > 1:
        ds = experimental.RebatchIterDataset(ds, work.batch_size, drop_remainder=False)
    batches = iter(ds)
    ready = iter([0])

    def epoch() -> Iterator[np.ndarray]:
        for _ in range(next(ready, 2 * (depth + 1) * lot)):
            next(batches)
        return itertools.islice(batches, n)

    yield epoch
    batches.close()


_work: Work


def begin(work: Work) -> None:
    """In a worker of the standard library: what it will work on."""
    global _work
    _work = work
    data(work.shape)


def do(pick: np.ndarray) -> np.ndarray:
    return batch(_work, pick)


@contextlib.contextmanager
def with_imap(work: Work, n: int, chunksize: int = 1) -> Iterator[Epoch]:
    with multiprocessing.Pool(2, begin, (work,)) as pool:
        yield lambda: pool.imap(do, picks(work, n), chunksize)


@contextlib.contextmanager
def with_executor(work: Work, n: int) -> Iterator[Epoch]:
    with concurrent.futures.ProcessPoolExecutor(2, initializer=begin, initargs=(work,)) as pool:

        def epoch() -> Iterator[np.ndarray]:
            rest = picks(work, n)
            futures = collections.deque(pool.submit(do, pick) for pick in itertools.islice(rest, work.depth))
            while futures:
                x = futures.popleft().result()
                futures.extend(pool.submit(do, pick) for pick in itertools.islice(rest, 1))
                yield x
                del x

        yield epoch


@contextlib.contextmanager
def with_joblib(work: Work, n: int) -> Iterator[Epoch]:
    """It does not wait for the consumer: it prepares the whole epoch."""
    task = joblib.delayed(np.full) if work.makes else joblib.delayed(np.take)

    def arguments(pick: np.ndarray) -> tuple[Any, ...]:
        return (work.batch_shape, pick[0], np.float32) if work.makes else (data(work.shape), pick, 0)

    with joblib.Parallel(2, return_as="generator", pre_dispatch=work.depth) as parallel:
        yield lambda: parallel(task(*arguments(pick)) for pick in picks(work, n))


@contextlib.contextmanager
def with_memcpy(work: Work, n: int) -> Iterator[Epoch]:
    """No workers at all: each of two batches in turn is copied to the same place."""
    two = [batch(work, pick) for pick in picks(work, 2)]
    place = two[0].copy()

    def epoch() -> Iterator[np.ndarray]:
        for i in range(n):
            np.copyto(place, two[i % 2])
            yield place

    yield epoch


class Peer(NamedTuple):
    """One way to have it done."""

    how: Callable[..., Any]
    distribution: str  # that it needs; "" for none
    works: str
    part: float = 1.0  # of an epoch that it goes through, so that the slow ones do not take all the time
    rest: float = 0.0  # seconds that its workers still work behind an epoch, on what nobody has asked for yet


PEERS = {  # those that fork come first, before there are threads
    "Pool.imap": Peer(with_imap, "", "ab", 0.15),
    f"Pool.imap, chunksize={LOT}": Peer(functools.partial(with_imap, chunksize=LOT), "", "cd"),
    "ProcessPoolExecutor": Peer(with_executor, "", "abcde", 0.2),
    "torch": Peer(with_torch, "torch", "ab", 0.5),
    "torch, arrays": Peer(with_torch, "torch", "cde"),
    "HF datasets": Peer(with_datasets, "datasets", "acd", 0.15),
    "SPDL": Peer(with_spdl, "spdl_core", "abcde"),
    "SPDL, array.fill": Peer(functools.partial(with_spdl, fills=True), "spdl_core", "b"),
    f"SPDL, lists of {LOT}": Peer(functools.partial(with_spdl, lot=LOT), "spdl_core", "d"),
    "joblib": Peer(with_joblib, "joblib", "abce", 0.15),
    "grain": Peer(with_grain, "grain", "ab", 0.5, rest=1.0),
    "grain, pickled": Peer(with_grain, "grain", "cde"),
    f"grain, {LOT} in one": Peer(functools.partial(with_grain, lot=LOT), "grain", "d"),
    "batchup": Peer(with_batchup, "", "abcde"),
    "batchup, batchup.empty": Peer(functools.partial(with_batchup, fills=True), "", "b"),
    "np.copyto": Peer(with_memcpy, "", "a"),
}


def checked(name: str, work: Work, n: int, epoch: Epoch) -> None:
    """Go through one epoch, and compare its first batches."""
    expected = [batch(work, pick) for pick in picks(work, 2 if name == "np.copyto" else min(n, 3))]
    got = 0
    for x in epoch():
        if got < len(expected) and not np.array_equal(np.asarray(x), expected[got]):
            raise AssertionError(f"{name} gave a wrong batch {got}")
        got += 1
        del x
    if got != n:
        raise AssertionError(f"{name} should give {n} batches, not {got}")


def per_batch(epoch: Epoch) -> float:
    """Seconds for each batch of an epoch; of each, one element is read."""
    n = 0
    start = time.perf_counter()
    for x in epoch():
        np.asarray(x).item(0)
        del x
        n += 1
    return (time.perf_counter() - start) / n


def measure(name: str, work: Work, n: int, epoch: Epoch, rest: float, first: Iterator[bool]) -> float:
    """Seconds per batch; the first epoch, which is not counted, is compared with what it should be."""
    spent = 0.0
    if next(first, False):
        checked(name, work, n, epoch)
    else:
        spent = per_batch(epoch)
    time.sleep(rest)
    return spent


def measured(key: str, rounds: int) -> dict[str, list[float]]:
    """Seconds per batch of each library, in each round."""
    work = WORKS[key]
    data(work.shape)
    runs: dict[str, Callable[[], float]] = {}
    with contextlib.ExitStack() as stack:
        for name, peer in PEERS.items():
            if key not in peer.works:
                continue
            if peer.distribution and not installed(peer.distribution):
                print(f"{name}: not installed: skipped")
                continue
            n = round(work.batches * peer.part)
            epoch = stack.enter_context(peer.how(work, n))
            runs[name] = functools.partial(measure, name, work, n, epoch, peer.rest, iter([True]))
        return in_turn(runs, rounds)


def installed(distribution: str) -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return bool(importlib.metadata.version(distribution))
    return False


def asked(key: str, found: dict[str, list[float]]) -> dict[str, float]:
    """How many times as fast as each batchup should be."""
    if key in "ab":
        return {"torch": 5.0, "SPDL": 1.5, "SPDL, array.fill": 1.5, "np.copyto": 0.5}
    best = min((name for name in found if not is_ours(name)), key=lambda name: median(found[name]))
    return {best: 1.5}


def is_ours(name: str) -> bool:
    return name.startswith("batchup")


def ratio(found: dict[str, list[float]], name: str, ours: str) -> float:
    """How many times as fast as `name` one of ours is."""
    return median(theirs / mine for theirs, mine in zip(found[name], found[ours], strict=True))


def report(key: str, rounds: int, record: str) -> None:
    work = WORKS[key]
    found = measured(key, rounds)
    if record:
        recorded(record, f"transport {key}", f"{work.title}, {work.depth} ahead", "batches/s", found)
    wanted = asked(key, found)
    ours = [name for name in found if is_ours(name)]
    rows = []
    for name in sorted(found, key=lambda name: median(found[name])):
        ratios = [ratio(found, name, each) for each in ours]
        least = wanted.get(name)
        rows.append(
            [
                name,
                f"{1 / median(found[name]):,.1f}",
                *("" if is_ours(name) else f"{each:.2f}" for each in ratios),
                f"{least:.1f}" if least else "",
                "" if not least else ", ".join("yes" if each >= least else "NO" for each in ratios),
            ]
        )
    table(
        f"({key}) {work.title}: {work.nbytes / 1000:,.0f} kB a batch, {work.depth} ahead, medians of {rounds} rounds",
        ["two workers", "batches/s", *(f"{each} is times as fast" for each in ours), "asked", "met"],
        rows,
    )


def quiet_tracker() -> None:
    """Start the tracker of shared memory without a voice: SPDL lets go of each of its segments twice."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        resource_tracker.ensure_running()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def main(keys: Iterable[str], rounds: int, record: str) -> None:
    faulthandler.dump_traceback_later(900, exit=True)
    quiet_tracker()
    about()
    peers = sorted({peer.distribution for peer in PEERS.values()} - {"", "joblib"})
    print(", ".join(f"{peer} {importlib.metadata.version(peer)}" for peer in peers if installed(peer)))
    for key in keys:
        report(key, rounds, record)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="a,b,c,d,e", help="which works, such as a,c")
    parser.add_argument("--record", default="", help="file for the medians; docs/figures/speed.py draws it")
    options = parser.parse_args()
    import transport  # itself: what goes to workers is then of a module, which they can import

    transport.main(options.only.split(","), options.rounds, options.record)
