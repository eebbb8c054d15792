"""Train on hard examples more often: set new weights after each epoch, from the loss of each sample.

After each epoch, each sample gets a weight that grows with its loss. ``loader.set_weights`` sets these weights for the
next epoch. Prints the accuracy on held-out digits and the loss on the hardest tenth of them, compares them with plain
shuffling of as many samples, and plots both by epoch. To run it::

    pip install 'batchup[examples]'
    python hard_examples.py

It takes a few seconds. Halfway, it makes a new loader with another pool, and loads the weights and the state into it.
The batches stay the same.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from batchup import ArrayDataSource, Loader, WeightedSampler

BATCH_SIZE = 32


def loss(network, X, y):
    """The cross-entropy of each sample."""
    return -np.log(np.maximum(network.predict_proba(X)[np.arange(len(y)), y], 1e-9))


def weights(losses, share=0.5):
    """Half of the draws by the loss, the other half evenly, so that easy samples are not forgotten."""
    return (1 - share) / len(losses) + share * losses / losses.sum()


def new_loader(X, y, seed, pool=None):
    sampler = WeightedSampler(np.ones(len(X)), num_samples=len(X))
    return Loader(ArrayDataSource([X, y], sampler=sampler), BATCH_SIZE, shuffle=seed, pool=pool)


def trained(loader, train, test, args, mines):
    """Train, and return the accuracy on the test digits and the mean loss of the hardest tenth of them, by epoch."""
    network = MLPClassifier([32], learning_rate_init=0.002, random_state=args.seed)
    found = []
    for epoch in range(args.epochs):
        for X, y in loader:
            network.partial_fit(X, y, classes=range(10))
        if mines:
            now = weights(loss(network, *train))
            loader.set_weights(now)
            if epoch == args.epochs // 2:  # as if the program had been killed here
                state = loader.state_dict()
                loader = new_loader(*train, args.seed, pool=2)
                loader.set_weights(now)
                loader.load_state_dict(state)
        found.append((network.score(*test), np.sort(loss(network, *test))[-len(test[0]) // 10 :].mean()))
    loader.close()
    return np.array(found).T


def draw(path, results):
    figure = Figure(figsize=(8, 3.2), layout="constrained")  # a Figure without pyplot needs no display
    for axes, i, what in zip(figure.subplots(1, 2), range(2), ("accuracy", "loss of the hardest tenth"), strict=True):
        for name, found in results.items():
            axes.plot(range(1, len(found[i]) + 1), found[i], label=name)
        axes.set(xlabel="epoch", ylabel=f"{what}, held-out digits")
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("hard_examples.png"), help="file for the plot (%(default)s)")
    args = parser.parse_args()

    X, y = load_digits(return_X_y=True)
    train, test = (
        next(part.batch_iterator(len(X)))
        for part in ArrayDataSource([X / 16, y]).split({"train": 0.6, "test": 0.4}, stratify=y, seed=0).values()
    )
    with threadpool_limits(1):
        results = {
            "plain shuffling": trained(Loader(list(train), BATCH_SIZE, shuffle=args.seed), train, test, args, False),
            "hard examples": trained(new_loader(*train, args.seed), train, test, args, True),
        }
    for name, (accuracy, hardest) in results.items():
        print(f"{name}: accuracy {accuracy[-1]:.2%}, loss of the hardest tenth {hardest[-1]:.2f}")
    draw(args.out, results)
    print(f"saved {args.out}")


if __name__ == "__main__":
    main()
