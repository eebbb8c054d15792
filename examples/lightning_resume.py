"""Interrupt a run of Lightning within an epoch, and resume it at the exact next batch.

Shows `batchup.interop.torch.DataLoader` in a ``Trainer``: with `resuming_callback`, each checkpoint holds the state of
the loader. To run it::

    pip install batchup torch lightning scikit-learn
    python lightning_resume.py

It trains once without interruption, and once in two parts, and prints whether both end with the same weights.
"""

import logging
import sys
import tempfile
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from batchup.interop.lightning import resuming_callback
from batchup.interop.torch import DataLoader

STEPS = 70  # after which the second run is interrupted; an epoch has 57


class Classifier(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layers = nn.Linear(64, 10)

    def training_step(self, batch, step):
        X, y = batch
        return nn.functional.cross_entropy(self.layers(X), y)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 1e-3)


class SaveAt(pl.Callback):
    """Writes a checkpoint after so many steps."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == STEPS:
            trainer.save_checkpoint(self.path)


def fit(folder, resume=None, callbacks=(), **kwargs):
    digits = load_digits()
    dataset = TensorDataset(torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target))
    torch.manual_seed(0)
    model = Classifier()
    loader = DataLoader(dataset, 32, shuffle=True, generator=torch.Generator().manual_seed(7))
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[resuming_callback(loader), *callbacks],
        **kwargs,
    )
    trainer.fit(model, loader, ckpt_path=resume, weights_only=False)
    return model.layers.weight


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.ckpt"
        whole = fit(folder, max_epochs=3)
        fit(folder, max_steps=STEPS, callbacks=[SaveAt(path)])
        print(f"the run was interrupted after {STEPS} steps, within its second epoch")
        resumed = fit(folder, resume=path, max_epochs=3)
    same = torch.equal(whole, resumed)
    print(f"the weights of both runs are equal, bit for bit: {same}")
    print(f"largest difference: {(whole - resumed).abs().max().item()}")
    sys.exit(not same)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main()
