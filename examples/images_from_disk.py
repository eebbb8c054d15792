"""Read batches of images from files: serially, in threads and in processes.

Shows an accessor, which is indexed like an array but opens a file for each sample; a ``map`` that resizes images of
many sizes into one array; and work pools, which give the same batches as the plain loop. To run it::

    pip install 'batchup[examples]'
    python images_from_disk.py

It cuts two photographs into a few hundred JPEG files in a temporary folder, prints the batches per second of each way
on your machine, and plots one batch.
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_images
from tqdm import tqdm

from batchup.data_source import ArrayDataSource
from batchup.work_pool import WorkerProcessPool, WorkerThreadPool

SEED = 12345
BATCH_SIZE = 16
CLASSES = ["temple", "flower"]


def cut_photographs(folder, n_images):
    """Save crops of two photographs, of many sizes, as ``temple-000.jpg``, ``flower-001.jpg`` …; return the paths."""
    rng = np.random.default_rng(SEED)
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    paths = [folder / f"{CLASSES[i % 2]}-{i:03d}.jpg" for i in range(n_images)]
    for i, path in enumerate(tqdm(paths, desc="cutting", unit="image", leave=False)):
        photograph = photographs[i % 2]
        width, height = rng.integers(100, 300, 2)
        left, top = rng.integers(photograph.width - width), rng.integers(photograph.height - height)
        photograph.crop((left, top, left + width, top + height)).save(path, quality=90)
    return paths


class NonUniformImageFileAccessor:
    """Indexed like an array of images, but holds only their paths."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, np.ndarray):
            return [self.open(i) for i in index]  # a list, since images of different sizes do not fit into an array
        return self.open(index)

    def open(self, i):
        with Image.open(self.paths[i]) as image:
            return image.convert("RGB")


def resize(images, labels):
    """Resize a list of images to one array of 64 x 64 pixels each."""
    return np.stack([np.asarray(image.resize((64, 64))) for image in images]), labels


def timed(name, source):
    """Return all batches of one epoch and print the rate, after an epoch to warm up the workers."""
    for _ in source.batch_iterator(BATCH_SIZE):
        pass
    start = time.perf_counter()
    batches = source.batch_iterator(BATCH_SIZE, shuffle=np.random.RandomState(SEED))
    total = -(-source.num_samples() // BATCH_SIZE)
    batches = list(tqdm(batches, total=total, desc=name, unit="batch", leave=False))
    rate = len(batches) / (time.perf_counter() - start)
    print(f"{name:10} {rate:6.1f} batches per second")
    return batches


def equal(some, others):
    """Whether two lists of batches are equal, number by number."""
    pairs = zip(some, others, strict=True)
    return all(np.array_equal(x, y) for batch, other in pairs for x, y in zip(batch, other, strict=True))


def draw(path, images, labels):
    """Save a plot of one batch."""
    figure = Figure(figsize=(8, 2.4), layout="constrained")  # a Figure without pyplot needs no display
    for ax, image, label in zip(figure.subplots(2, BATCH_SIZE // 2).flat, images, labels, strict=False):
        ax.imshow(image)
        ax.set_title(CLASSES[label], fontsize=9)
        ax.set_axis_off()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="folder to keep the JPEG files (default: a temporary one)")
    parser.add_argument("--images", type=int, default=600, help="number of images to cut (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("images.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        paths = cut_photographs(folder, args.images)
        labels = np.array([CLASSES.index(path.name.split("-")[0]) for path in paths])
        source = ArrayDataSource([NonUniformImageFileAccessor(paths), labels]).map(resize)

        serial = timed("serial", source)
        for name, make_pool in [("threads", WorkerThreadPool), ("processes", WorkerProcessPool)]:
            with make_pool(processes=2) as pool:
                batches = timed(name, pool.parallel_data_source(source))
            if not equal(serial, batches):
                raise SystemExit(f"the batches made in {name} should equal the serial ones, but they do not")
    print(f"all three made the same {len(serial)} batches")
    draw(args.out, *serial[0])
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
