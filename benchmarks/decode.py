"""Decoding JPEG files by two threads: batchup beside a bare `ThreadPoolExecutor` that decodes image by image.

    python benchmarks/decode.py

Asked for: at least 0.95 of the bare executor's rate.
"""

from __future__ import annotations

import collections
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from timing import about, in_turn, median, per_item, table

import batchup

N, BATCH, WORKERS = 1024, 64, 2


class Photos:
    """Decoded and resized images, by index."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, np.ndarray):
            return np.stack([self[i] for i in index.tolist()])
        with Image.open(self.paths[index]) as image:
            image.draft("RGB", (224, 224))
            return np.asarray(image.resize((224, 224)))


def written(folder: Path) -> list[Path]:
    """Crops of 500 x 375 of real photographs, as JPEG files."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    paths = []
    for n in range(N):
        left, top = rng.integers(0, 140), rng.integers(0, 52)
        paths.append(folder / f"{n}.jpg")
        photos[n % 2].crop((left, top, left + 500, top + 375)).save(paths[-1], quality=90)
    return paths


def bare(photos: Photos, executor: ThreadPoolExecutor, order: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of images that are decoded one by one, two batches ahead."""
    ahead: collections.deque = collections.deque()
    picks = iter([order[i : i + BATCH] for i in range(0, len(order), BATCH)])
    for pick in picks:
        ahead.append([executor.submit(photos.__getitem__, i) for i in pick.tolist()])
        if len(ahead) > 2:
            yield np.stack([image.result() for image in ahead.popleft()])
    for batch in ahead:
        yield np.stack([image.result() for image in batch])


def main(rounds: int = 7) -> None:
    about()
    with tempfile.TemporaryDirectory() as folder:
        photos = Photos(written(Path(folder)))
        order = np.random.RandomState(12345).permutation(N)
        whole = batchup.ArrayDataSource([photos], indices=order)
        split = batchup.ArrayDataSource([batchup.ParallelItems(photos, WORKERS, np.stack)], indices=order)
        with ThreadPoolExecutor(WORKERS) as executor, batchup.WorkerThreadPool(WORKERS) as pool:
            found = in_turn(
                {
                    "bare executor, image by image": lambda: per_item(lambda: bare(photos, executor, order)),
                    "batchup, a batch to a thread": lambda: per_item(
                        lambda: pool.parallel_data_source(whole, 3).batch_iterator(BATCH)
                    ),
                    "batchup, ParallelItems in a pool": lambda: per_item(
                        lambda: pool.parallel_data_source(split, 3).batch_iterator(BATCH)
                    ),
                    "batchup, no pool": lambda: per_item(lambda: whole.batch_iterator(BATCH)),
                },
                rounds,
            )
    base = found["bare executor, image by image"]
    rows = [
        [name, f"{BATCH / median(times):.0f}", f"{median(b / t for b, t in zip(base, times, strict=True)):.2f}"]
        for name, times in found.items()
    ]
    table(f"{N} JPEG files of 500 x 375, batches of {BATCH}, {WORKERS} threads", ["way", "images/s", "of bare"], rows)


if __name__ == "__main__":
    main()
