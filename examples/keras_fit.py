"""Train a classifier of digits with Keras's ``fit``, from a batchup loader.

Shows ``loader.to_keras()``: two threads augment and prefetch the batches, ``fit`` shows its own progress bar, and
``class_weight`` gives rare classes more weight. To run it::

    pip install 'batchup[examples]' keras jax
    python keras_fit.py

With another backend of Keras, set ``KERAS_BACKEND`` to torch or tensorflow. It takes seconds, and prints the
accuracy on held-out digits.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported

import keras
import numpy as np
from sklearn.datasets import load_digits

from batchup import ArrayDataSource, Loader


def noisy(images, labels, rng):
    """The same digits, with noise that depends on the batch alone."""
    return images + rng.normal(0, 0.05, images.shape).astype(np.float32), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    epochs = parser.parse_args().epochs

    keras.utils.set_random_seed(0)
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target
    train, test = np.split(np.random.RandomState(0).permutation(len(labels)), [1500])
    counts = np.bincount(labels[train])

    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(10, "softmax")],
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    source = ArrayDataSource([images, labels], indices=train).random_map(noisy)
    held_out = Loader(ArrayDataSource([images, labels], indices=test), 100)
    with Loader(source, 32, shuffle=7, pool="threads") as loader:
        model.fit(
            loader.to_keras(),
            epochs=epochs,
            shuffle=False,  # the loader does
            class_weight={label: counts.mean() / n for label, n in enumerate(counts)},
            validation_data=held_out.to_keras(),
            verbose=2 if os.environ.get("CI") else 1,
        )
    _, accuracy = model.evaluate(held_out.to_keras(), verbose=0)
    print(f"accuracy on held-out digits: {accuracy:.2%}")


if __name__ == "__main__":
    main()
