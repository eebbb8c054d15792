"""Draw how a batch comes to be: plan, fetch, pool, loop. To run it::

python docs/figures/plan_and_fetch.py
"""

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from style import BLUE, GREEN, GREY, ORANGE, beside, save

STAGES = [  # x, title, what it is, colour
    (0.0, "plan", ["which samples make each batch,", "in one thread: all order and", "all random seeds"], ORANGE),
    (
        3.6,
        "pool",
        ["workers that fetch: threads,", "processes, or a cluster;", "picks of a lost one go to another"],
        BLUE,
    ),
    (7.2, "loop", ["batches in the order of the plan;", "the state counts those that", "the loop has received"], GREEN),
]
WIDTH = 2.8
PICKS = ["[4 2 1 8]", "[6 7 3 9]", "[5 0]"]


def box(ax, x, y, width, height, colour, filled=0.0):
    style = "round,pad=0,rounding_size=0.1"
    ax.add_patch(FancyBboxPatch((x, y), width, height, style, facecolor="none", edgecolor=colour, linewidth=1.4))
    if filled:
        ax.add_patch(FancyBboxPatch((x, y), width, height, style, facecolor=colour, alpha=filled, linewidth=0))


def arrow(ax, begin, end, text=""):
    ax.annotate("", end, begin, arrowprops={"arrowstyle": "-|>", "color": GREY, "linewidth": 1.4})
    ax.text((begin[0] + end[0]) / 2, begin[1] + 0.12, text, ha="center", fontsize=9)


def stage(ax, x, title, lines, colour):
    box(ax, x, 0, WIDTH, 3.4, colour)
    ax.text(x + WIDTH / 2, 3.08, title, ha="center", color=colour, fontsize=12, weight="bold")
    for i, line in enumerate(lines):
        ax.text(x + WIDTH / 2, 0.62 - 0.22 * i, line, ha="center", fontsize=8)


def main():
    figure = Figure(figsize=(9, 3.4))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    for each in STAGES:
        stage(ax, *each)
    for i, pick in enumerate(PICKS):
        y = 2.45 - 0.62 * i
        box(ax, 0.35, y, 2.1, 0.45, ORANGE, 0.15)
        ax.text(1.4, y + 0.15, f"step {i}:  {pick}", ha="center", fontsize=9)
        box(ax, 7.55, y, 2.1, 0.45, GREEN, 0.15)
        ax.text(8.6, y + 0.15, f"batch {i}:  X, y", ha="center", fontsize=9)
    for i in range(2):
        y = 2.1 - 0.85 * i
        box(ax, 3.85, y, 2.3, 0.65, BLUE, 0.15)
        ax.text(5.0, y + 0.36, f"worker {i}", ha="center", fontsize=9)
        ax.text(5.0, y + 0.12, "fetch, map, random_map", ha="center", fontsize=8)
    arrow(ax, (WIDTH, 2.05), (3.6, 2.05), "picks")
    arrow(ax, (3.6 + WIDTH, 2.05), (7.2, 2.05), "batches")
    ax.set(xlim=(-0.05, 10.05), ylim=(-0.05, 3.5))
    ax.set_axis_off()
    save(figure, beside(__file__, ".svg"))


if __name__ == "__main__":
    main()
