"""What others do, for `disk.py`: by hand, PyTorch, HF datasets and annbatch. What is not installed is left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["BATCH", "BLOCK", "WINDOW", "by_blocks", "by_hand", "left_out"]

BATCH, BLOCK, WINDOW = 256, 256, 32
Epoch = Callable[[], Iterator[Any]]


def has(*names: str) -> bool:
    return all(importlib.util.find_spec(name) for name in names)


def left_out() -> list[str]:
    """The names of libraries that are compared with where they are installed, and are not."""
    return [name for name in ("h5py", "zarr", "pyarrow", "torch", "datasets", "annbatch") if not has(name)]


def rising(dataset: Any, pick: np.ndarray) -> np.ndarray:
    """Rows of a data set that takes increasing indices only."""
    once, places = np.unique(pick, return_inverse=True)
    return dataset[once][places]


def by_hand(folder: Path, X: np.ndarray) -> dict[str, Callable[[np.ndarray], Any]]:
    """Batches of a full shuffle, as people write them without batchup."""
    found: dict[str, Callable[[np.ndarray], Any]] = {}
    if has("h5py"):
        import h5py

        file = h5py.File(folder / "x.h5", "r")
        found["h5py by hand, contiguous"] = lambda pick: rising(file["contiguous"], pick)
        found["h5py by hand, chunks"] = lambda pick: rising(file["chunks"], pick)
        found["h5py row by row, chunks"] = lambda pick: np.stack([file["chunks"][i] for i in pick.tolist()])
        found["h5py by hand, gzip"] = lambda pick: rising(file["gzip"], pick)
    if has("zarr"):
        import zarr

        group = zarr.open_group(folder / "x.zarr", mode="r")
        found["zarr by hand, raw"] = lambda pick: group["raw"].oindex[pick]
        found["zarr by hand, zstd"] = lambda pick: group["zstd"].oindex[pick]
    if has("datasets", "pyarrow"):
        rows = _dataset(folder, X).with_format("numpy")
        found["HF datasets"] = lambda pick: rows[pick]["x"]
    return found


def _dataset(folder: Path, X: np.ndarray) -> Any:
    import datasets
    import pyarrow

    datasets.disable_progress_bars()
    rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.reshape(-1)), X.shape[1])
    datasets.Dataset(datasets.table.InMemoryTable(pyarrow.table({"x": rows}))).save_to_disk(str(folder / "x.hf"))
    return datasets.load_from_disk(str(folder / "x.hf"))


def by_blocks(folder: Path, n: int) -> dict[str, Epoch]:
    """Epochs of a shuffle by blocks, of the compressed files."""
    found: dict[str, Epoch] = {}
    if has("h5py"):
        import h5py

        gzip = h5py.File(folder / "x.h5", "r")["gzip"]
        found["h5py by hand, gzip"] = lambda: windows(gzip, n)
    if has("zarr"):
        import zarr

        zstd = zarr.open_group(folder / "x.zarr", mode="r")["zstd"]
        found["zarr by hand, zstd"] = lambda: windows(zstd, n)
    if has("torch", "h5py"):
        found["torch DataLoader, h5py gzip"] = lambda: torch_loader(folder, n, 0)
        found["torch DataLoader, h5py gzip, 2 processes"] = lambda: torch_loader(folder, n, 2)
    if has("annbatch", "zarr"):
        found["annbatch, zarr zstd"] = lambda: annbatch_loader(folder)
    return found


def windows(array: Any, n: int) -> Iterator[np.ndarray]:
    """A window of blocks in one buffer, shuffled and used up."""
    rng = np.random.default_rng()
    order = rng.permutation(-(-n // BLOCK))
    for i in range(0, len(order), WINDOW):
        rows = np.concatenate([array[b * BLOCK : (b + 1) * BLOCK] for b in np.sort(order[i : i + WINDOW])])
        mixed = rng.permutation(len(rows))
        for j in range(0, len(rows), BATCH):
            yield rows[mixed[j : j + BATCH]]


def torch_loader(folder: Path, n: int, workers: int) -> Iterator[Any]:
    """PyTorch's loader: each worker makes the batches of windows of its own, as its documentation says."""
    import h5py
    import torch.utils.data

    class Windows(torch.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            info = torch.utils.data.get_worker_info()
            part = np.arange(-(-n // BLOCK))[info.id :: info.num_workers] if info else np.arange(-(-n // BLOCK))
            array = h5py.File(folder / "x.h5", "r")["gzip"]
            rng = np.random.default_rng()
            order = rng.permutation(part)
            for i in range(0, len(order), WINDOW):
                rows = np.concatenate([array[b * BLOCK : (b + 1) * BLOCK] for b in np.sort(order[i : i + WINDOW])])
                mixed = rng.permutation(len(rows))
                for j in range(0, len(rows), BATCH):
                    yield torch.from_numpy(rows[mixed[j : j + BATCH]])

    return iter(torch.utils.data.DataLoader(Windows(), batch_size=None, num_workers=workers))


def annbatch_loader(folder: Path) -> Iterator[Any]:
    """annbatch's, with its codecs in Rust where these are installed."""
    import annbatch
    import zarr

    if has("zarrs"):
        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    loader = annbatch.Loader(chunk_size=BLOCK, preload_nchunks=WINDOW, batch_size=BATCH, shuffle=True, drop_last=True)
    return iter(loader.add_dataset(zarr.open_group(folder / "x.zarr", mode="r")["zstd"]))
