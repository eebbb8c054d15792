"""Train a small convolutional network in PyTorch on crops of real photographs, few of them labelled, as FixMatch does.

Shows ``loader.to_torch()``: batches of 16 labelled and 48 unlabelled crops, with a weak and a strong augmentation of
each, prefetched by threads. To run it::

    pip install 'batchup[examples]' torch
    python torch_images.py

It takes seconds, and prints the accuracy on crops from parts of the photographs that it was not trained on.

FixMatch: the network predicts the class of a weakly augmented crop. If it is sure, this class is the target for the
strongly augmented view of the same crop.
"""

import argparse
import sys

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from tqdm import tqdm

from batchup import ArrayDataSource, ClassCountSampler, Loader

SIZE = 32  # of a crop
LABELLED, UNLABELLED = 16, 48  # in a batch
SURE = 0.9


class Crops:
    """Crops of the photographs, at random places between two columns, cut when they are needed."""

    def __init__(self, n, begin, end, seed):
        rng = np.random.default_rng(seed)
        self.photos = np.stack(load_sample_images().images).astype(np.float32) / 255
        height, width = self.photos.shape[1:3]
        self.labels = np.arange(n) % len(self.photos)
        self.tops = rng.integers(0, height - SIZE, n)
        self.lefts = rng.integers(int(begin * width), int(end * width) - SIZE, n)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, indices):
        places = zip(self.labels[indices], self.tops[indices], self.lefts[indices], strict=True)
        return np.stack([self.photos[photo, top : top + SIZE, left : left + SIZE] for photo, top, left in places])


def weak(images, rng):
    """Some crops mirrored."""
    flipped = rng.random(len(images)) < 0.5
    return np.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def strong(images, rng):
    """Other brightness and contrast of each colour, and a grey square in it."""
    n = len(images)
    images = (weak(images, rng) - 0.5) * rng.uniform(0.5, 1.5, (n, 1, 1, 3)) + rng.uniform(0.3, 0.7, (n, 1, 1, 3))
    for image, top, left in zip(images, *rng.integers(0, SIZE - 12, (2, n)), strict=True):
        image[top : top + 12, left : left + 12] = 0.5
    return images


def views(images, labels, rng):
    """Both views of each crop, with the colours first, as PyTorch has them."""
    both = [view(images, rng).transpose(0, 3, 1, 2).astype(np.float32) for view in (weak, strong)]
    return *both, labels


def network():
    layers = [nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))


def loss_of(model, weak_ones, strong_ones, labels):
    """The loss of a batch: its labelled crops come first."""
    said = model(weak_ones)
    supervised = nn.functional.cross_entropy(said[:LABELLED], labels[:LABELLED])
    sureness, guess = said[LABELLED:].detach().softmax(1).max(1)
    each = nn.functional.cross_entropy(model(strong_ones[LABELLED:]), guess, reduction="none")
    return supervised + (each * (sureness > SURE)).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps

    torch.manual_seed(0)
    torch.set_num_threads(1)  # more do not help with small batches
    crops, held_out = Crops(1240, 0, 0.7, seed=1), Crops(500, 0.7, 1, seed=2)
    is_labelled = np.arange(len(crops)) < 40
    labels = np.where(is_labelled, crops.labels, -1)

    sampler = ClassCountSampler(is_labelled, {True: LABELLED, False: UNLABELLED})
    source = ArrayDataSource([crops, labels], sampler=sampler).random_map(views)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    with Loader(source, LABELLED + UNLABELLED, shuffle=7, pool="threads") as loader:
        for batch in tqdm(loader.to_torch().steps(steps), total=steps, file=sys.stdout):
            optimizer.zero_grad()
            loss_of(model, *batch).backward()
            optimizer.step()

    def right(images, labels):
        said = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).argmax(1)
        return said.numpy() == labels

    with torch.no_grad():
        (accuracy,) = ArrayDataSource([held_out, held_out.labels]).batch_map_mean(right, 100, sum_axis=0)
    print(f"accuracy on held-out crops: {accuracy:.2%}")


if __name__ == "__main__":
    main()
