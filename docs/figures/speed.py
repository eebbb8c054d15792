"""Draw batches per second beside other libraries, from what benchmarks have measured. To run it::

python docs/figures/speed.py  # draws speed.json, which the benchmarks write:
python benchmarks/transport.py --record docs/figures/speed.json
python benchmarks/decode_peers.py --record docs/figures/speed.json
"""

import json

from matplotlib.figure import Figure
from style import BLUE, GREY, beside, save

PANELS = {  # what of speed.json is drawn, and under which names
    "transport a": ("batches of 38.5 MB, shuffled", ["batchup", "SPDL", "grain", "torch", "HF datasets"]),
    "transport c": ("batches of 32 kB, shuffled", ["batchup", "SPDL", "grain", "torch", "HF datasets"]),
    "decode": ("JPEG photos, decoded", ["batchup", "SPDL", "grain", "torch", "HF datasets"]),
}
SHOWN = {"batchup": "batchup", "spdl_core": "SPDL", "grain": "grain", "torch": "torch", "datasets": "datasets"}
ALIASES = {"torch, arrays": "torch", "grain, pickled": "grain"}


def measured_on(measured):
    """One line: the machine, the dates, how busy it was, and the versions."""
    runs = [measured[key] for key in PANELS]
    dates = sorted({run["date"] for run in runs})
    loads = [run["load average"][0] for run in runs]
    versions = {name: version for run in runs for name, version in run["versions"].items() if name in SHOWN}
    of = ", ".join(f"{SHOWN[name]} {version}" for name, version in versions.items())
    busy = f"load average {min(loads):.0f}" + (f" to {max(loads):.0f}" if max(loads) - min(loads) > 1 else "")
    return f"two workers, {runs[0]['machine']}, {' and '.join(dates)}, {busy}; {of}"


def main():
    measured = json.loads(beside(__file__, ".json").read_text(encoding="utf-8"))
    figure = Figure(figsize=(10, 2.4), layout="constrained")
    for ax, (key, (title, names)) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        rates = {ALIASES.get(name, name): rate for name, rate in measured[key]["medians"].items()}
        there = [name for name in names if name in rates]
        colours = [BLUE if name == "batchup" else GREY for name in there]
        bars = ax.barh(there, [rates[name] for name in there], color=colours, height=0.65)
        ax.bar_label(bars, [f"{rates[name]:,.0f}" for name in there], padding=3, color=GREY, fontsize=9)
        ax.set(title=f"{title}: {measured[key]['unit'].replace('/s', ' a second')}", xticks=[])
        ax.title.set_fontsize(8.5)
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(left=False, labelsize=9)
        ax.margins(x=0.18)
        ax.invert_yaxis()
    figure.supxlabel(measured_on(measured), fontsize=7.5)
    save(figure, beside(__file__, ".svg"))


if __name__ == "__main__":
    main()
