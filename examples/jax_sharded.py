"""Train a classifier of digits in JAX, with each batch spread over eight devices.

Shows ``batchup.interop.jax.device_put``: batches go to the devices ahead of the loop, each device gets its part, and
``jax.jit`` does the rest. To run it::

    pip install 'batchup[examples]' jax
    python jax_sharded.py

Without accelerators, the eight devices are parts of the CPU. It takes seconds, and prints the accuracy on held-out
digits.
"""

import argparse
import os
import sys

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # before JAX is imported

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from sklearn.datasets import load_digits
from tqdm import tqdm

from batchup import ArrayDataSource, Loader
from batchup.interop.jax import device_put


def logits(weights, X):
    hidden = jax.nn.relu(X @ weights["first"] + weights["bias"])
    return hidden @ weights["second"]


@jax.jit
def step(weights, X, y):
    """One step of gradient descent; the mean over the batch is one over all devices."""

    def loss(weights):
        return -(jax.nn.log_softmax(logits(weights, X)) * jax.nn.one_hot(y, 10)).sum(1).mean()

    gradients = jax.grad(loss)(weights)
    return jax.tree.map(lambda w, g: w - 0.3 * g, weights, gradients)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    epochs = parser.parse_args().epochs

    digits = load_digits()
    X, y = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    train, test = np.split(np.random.RandomState(0).permutation(len(y)), [1500])
    rng = np.random.default_rng(0)
    shapes = {"first": (64, 64), "bias": (64,), "second": (64, 10)}
    weights = {name: jnp.asarray(rng.normal(0, 0.1, shape), jnp.float32) for name, shape in shapes.items()}

    mesh = jax.make_mesh((jax.device_count(),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("batch"))
    source = ArrayDataSource([X, y], indices=train)
    with device_put(Loader(source, 64, shuffle=7, last="drop", pool="threads"), sharding) as loader:
        steps = epochs * len(loader)
        for images, labels in tqdm(loader.steps(steps), total=steps, file=sys.stdout):
            weights = step(weights, images, labels)
    print(f"each batch was on {len(images.sharding.device_set)} devices")

    right = np.asarray(logits(weights, X[test])).argmax(1) == y[test]
    print(f"accuracy on held-out digits: {right.mean():.2%}")


if __name__ == "__main__":
    main()
