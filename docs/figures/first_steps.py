"""Draw what the page "Get started" has trained: its own examples run, and their variables are drawn. To run it::

python docs/figures/first_steps.py
"""

import doctest
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from style import BLUE, GREY, ORANGE, beside, save

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def after(page):
    """The variables after the examples of a page."""
    test = doctest.DocTestParser().get_doctest(page.read_text(encoding="utf-8"), {}, page.name, str(page), 0)
    if doctest.DocTestRunner(optionflags=OPTIONS).run(test, clear_globs=False).failed:
        raise AssertionError(f"the examples of {page} should run")
    return test.globs


def main():
    names = after(Path(__file__).parent.parent / "tutorial.rst")
    points, labels = next(names["test"].batch_iterator(200))
    weights = names["weights"]
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    ax = figure.subplots()
    for label, colour, marker in [(0, BLUE, "o"), (1, ORANGE, "^")]:
        ax.scatter(*points[labels == label].T, s=16, color=colour, marker=marker, label=f"y = {label}", alpha=0.8)
    x = np.array([-2.5, 2.5])
    ax.plot(x, -x * weights[0] / weights[1], color=GREY, linewidth=1.5, label="where the model is undecided")
    ax.set(xlabel="X[:, 0]", ylabel="X[:, 1]", title="the 200 points that were kept for testing")
    ax.legend(fontsize=8, loc="lower right")
    save(figure, beside(__file__, ".svg"))


if __name__ == "__main__":
    main()
