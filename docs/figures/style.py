"""How the figures of the documentation look: colours that can be read on white and on black, no background, no dates.

Each other program in this folder draws one figure and saves it beside itself. ``make figures`` runs them all. The same
data gives the same file, byte for byte, with the same version of matplotlib.
"""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

GREY, BLUE, ORANGE, GREEN, RED, VIOLET = "#808080", "#3b8fd0", "#e07b20", "#3f9f58", "#d64545", "#9467bd"

SETTINGS = {
    "axes.edgecolor": GREY,
    "axes.facecolor": "none",
    "axes.labelcolor": GREY,
    "axes.prop_cycle": matplotlib.cycler(color=[BLUE, ORANGE, GREEN, VIOLET]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": GREY,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.size": 10,
    "legend.edgecolor": GREY,
    "legend.facecolor": "none",
    "legend.framealpha": 0,
    "legend.labelcolor": GREY,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "batchup",
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def beside(program: str, ending: str) -> Path:
    """The file beside a program whose name differs only in its ending."""
    return Path(program).with_name(Path(program).stem + ending)


def save(figure: Figure, path: Path) -> None:
    """Save as SVG, without what would differ the next time."""
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    print(f"saved {path.name}")


matplotlib.rcParams.update(SETTINGS)
