"""Train a scikit-learn model on handwritten digits, with a pipeline that loads, rotates and shifts them in parallel.

Shows a batch class with an action for each item, a pipeline whose batches are prefetched by threads or processes, a
model that is trained with ``partial_fit``, its predictions on held-out digits, and a profile. To run it::

    pip install 'batchup[examples]'
    python pipeline_digits.py

It trains three times: without prefetch, with prefetch by threads, and with prefetch by processes. All three give the
same numbers, because the random numbers of a batch depend on the seed and the batch alone.
"""

import argparse
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from batchup.flow import B, Batch, Dataset, P, Pipeline, R, V, action, apply_parallel

SEED = 12345
BATCH_SIZE = 64
RUNS = {
    "no prefetch": {},
    "prefetch, threads": {"prefetch": 8, "target": "threads"},
    "prefetch, processes": {"prefetch": 8, "target": "mpc"},
}


class Digits(Batch):
    """Images of 8 x 8 pixels, and their labels."""

    components = "images", "labels"

    @apply_parallel(src="images", target="threads")
    def warp(self, image, angle, shift):
        """Rotate an image by an angle (in radians) and shift it (down and right, in pixels)."""
        cos, sin = np.cos(angle), np.sin(angle)
        row, col = np.mgrid[:8, :8] - 3.5
        y = (cos * row - sin * col + shift[0] + 4.5).clip(0, 9)  # the source of each pixel, in the image
        x = (sin * row + cos * col + shift[1] + 4.5).clip(0, 9)  # padded with one empty pixel
        top, left = y.astype(int).clip(0, 8), x.astype(int).clip(0, 8)
        padded = np.pad(image, 1)
        upper = padded[top, left] * (left + 1 - x) + padded[top, left + 1] * (x - left)
        lower = padded[top + 1, left] * (left + 1 - x) + padded[top + 1, left + 1] * (x - left)
        return upper * (top + 1 - y) + lower * (y - top)

    @action
    def flatten(self):
        self.images = self.images.reshape(len(self), -1)
        return self


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    dataset = Dataset(len(images), Digits)
    dataset.split(0.8, shuffle=SEED)

    load = Pipeline().load(src=(images, labels))
    augment = Pipeline().warp(angle=P(R("normal", 0, 0.1)), shift=P(R("normal", 0, 0.3, size=2)), p=0.9)
    flatten = Pipeline().flatten()
    learn = (
        Pipeline()
        .init_model("digits", source=MLPClassifier((256, 128), learning_rate_init=0.002, random_state=SEED))
        .train_model("digits", B.images, B.labels, classes=np.arange(10))
    )

    found, profile = {}, None
    for name, options in RUNS.items():
        start = time.perf_counter()
        train = (load + augment + flatten + learn) << dataset.train
        train.run(BATCH_SIZE, shuffle=SEED, n_epochs=args.epochs, profile=True, **options)
        guess = (
            Pipeline()
            .import_model("digits", train)
            .init_variables({"guesses": [], "right": []})
            .predict_model("digits", B.images, save_to=B.guess)
            .update(V("guesses", mode="e"), B.guess)
            .update(V("right", mode="e"), B.guess == B.labels)
        )
        test = ((load + flatten + guess) << dataset.test).run(256, n_epochs=1)
        profile = train.show_profile_info() if profile is None else profile
        found[name] = test.v("guesses")
        print(f"{name:20} accuracy {np.mean(test.v('right')):.2%} of {len(dataset.test)} held-out digits, ", end="")
        print(f"{time.perf_counter() - start:.1f} s")

    same = all(guesses == found["no prefetch"] for guesses in found.values())
    print("the same guesses, digit by digit:", "yes" if same else "NO")
    print("\nprofile of the run without prefetch:")
    print(profile)


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads do not help with small matrices, and slow down a busy machine
        main()
