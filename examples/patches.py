"""Patches of many sizes from photographs: random crops and flips, padded, in batches of about equal memory.

Shows a pipe of small functions that run in the background. It loads random photographs, cuts a patch of a random size
from each, and flips half of the patches. A batch holds as many patches as fit into a given number of pixels, padded to
the largest patch. Each patch has its own random generator, made from the seed and the number of the patch. So the pipe
gives the same batches with one thread and with several. To run it::

    pip install 'batchup[examples]'
    python patches.py

It takes some seconds, prints the shapes of some batches and the patches per second on your machine, and plots one
batch. The photographs come with scikit-image.
"""

import argparse
import functools
import time
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib.figure import Figure
from tqdm import tqdm

from batchup.batch_iter import (
    Infinite,
    Threads,
    apply_at,
    combine_pad,
    load_by_random_id,
    random_apply,
    unpack_args,
)

SEED = 12345
PHOTOGRAPHS = ["astronaut", "cat", "coffee", "rocket", "hubble_deep_field", "retina"]
PIXELS = 16 * 128 * 128  # per batch, padding included


@functools.cache
def photograph(name):
    """Load a photograph, once."""
    return getattr(skimage.data, name)()


def class_of(name):
    return PHOTOGRAPHS.index(name)


def crop(image, rng, least=48, most=160):
    """Cut a patch of random size at a random position."""
    height, width = rng.integers(least, most + 1, 2)
    top, left = (rng.integers(n - m + 1) for n, m in zip(image.shape, (height, width), strict=False))
    return image[top : top + height, left : left + width]


def flip(image):
    return image[:, ::-1]


def as_float(image):
    """Normalise the brightness to 0 … 1; takes some milliseconds per patch."""
    image = image / 255.0
    low, high = np.percentile(image, [1, 99])
    return ((image - low) / (high - low)).clip(0, 1).astype(np.float32)


def should_add(batch, item):
    """Whether the batch is still small enough with one more patch."""
    shapes = [image.shape for image, _, _ in [*batch, item]]
    height, width = (max(sides) for sides in list(zip(*shapes, strict=True))[:2])
    return len(shapes) * height * width <= PIXELS


def with_size(image, label):
    return image, label, image.shape[:2]


def pipe(stage, batches, seed):
    """One thread runs all functions but the slowest; `stage` sets who runs that one."""
    return Infinite(
        load_by_random_id(photograph, class_of, ids=PHOTOGRAPHS, random_state=seed),
        apply_at(0, crop),
        random_apply(0.5, apply_at(0, flip)),
        stage,
        unpack_args(with_size),
        batch_size=should_add,
        batches_per_epoch=batches,
        buffer_size=3,
        combiner=combine_pad,
        padding_values=[0.5, 0, 0],
        ratio=[0.5, 0.5, 0],
        seed=seed,
    )


def timed(name, stage, args):
    """Return the batches of one epoch and print the patches per second."""
    with pipe(stage, args.batches, args.seed) as batch_iter:
        start = time.perf_counter()
        batches = list(tqdm(batch_iter(), total=len(batch_iter), desc=name, unit="batch", leave=False))
        seconds = time.perf_counter() - start
    print(f"{name:12} {sum(len(labels) for _, labels, _ in batches) / seconds:6.0f} patches per second")
    return batches


def draw(path, images, labels, sizes):
    """Save a plot of one batch."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")  # a Figure without pyplot needs no display
    axes = figure.subplots(2, -(-len(images) // 2)).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, image, label, size in zip(axes, images, labels, sizes, strict=False):
        ax.imshow(image)
        ax.set_title(f"{PHOTOGRAPHS[label].split('_')[0]}\n{size[0]} × {size[1]}", fontsize=7)
    height, width = images.shape[1:3]
    figure.suptitle(f"a batch of {len(images)} patches, each padded to {height} × {width}", fontsize=9)
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=40, help="number of batches (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path("patches.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    for name in PHOTOGRAPHS:
        photograph(name)
    one = timed("one thread", apply_at(0, as_float), args)
    two = timed("two more", Threads(apply_at(0, as_float), n_workers=2, buffer_size=4), args)
    if not all(np.array_equal(x, y) for a, b in zip(one, two, strict=True) for x, y in zip(a, b, strict=True)):
        raise SystemExit("the batches of both ways should be equal, but they are not")
    print(f"both made the same {len(one)} batches:")
    for images, _, sizes in one[:6]:
        print(f"  {images.shape}, {1 - sizes.prod(axis=1).sum() / images[..., 0].size:.0%} of it padding")
    draw(args.out, *one[0])
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
