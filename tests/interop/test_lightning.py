"""The callback for Lightning: with the real one where it is installed, and with what stands for it elsewhere."""

from __future__ import annotations

import itertools
import sys
import threading
import types

import numpy as np
import pytest

from batchup.batch_iter import Infinite, Threads
from batchup.interop.lightning import closing_callback

pytestmark = pytest.mark.timeout(120)


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("batchup")}


def pipe():
    def item(n):
        return np.full(3, n, np.float32), np.float32(n)

    return Infinite(itertools.count(), Threads(item, n_workers=2), batch_size=4, batches_per_epoch=5)


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def installed(request, monkeypatch):
    """A module with a class ``Callback``, and no other Lightning."""
    for name in ["lightning", "lightning.pytorch", "pytorch_lightning"]:
        monkeypatch.setitem(sys.modules, name, None)
    module = types.ModuleType(request.param)
    module.Callback = type("Callback", (), {})
    if request.param == "lightning.pytorch":
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, request.param, module)
    return module


@pytest.mark.parametrize("event", ["teardown", "on_exception"])
def test_the_callback_closes(installed, event):
    """It closes all its arguments when training ends or fails."""
    before = threads()
    pipes = pipe(), pipe()
    for each in pipes:
        next(each())
    callback = closing_callback(*pipes)
    getattr(callback, event)(None, None, None)

    assert isinstance(callback, installed.Callback)
    assert before == threads()


def test_without_lightning_it_says_what_to_install(monkeypatch):
    """By name."""
    for name in ["lightning", "lightning.pytorch", "pytorch_lightning"]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match="pip install lightning"):
        closing_callback(pipe())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fails", [False, True])
def test_a_trainer_trains_on_a_pipe_and_closes_it(tmp_path, fails):
    """Two epochs of five batches each; or an error in the third batch."""
    lightning = pytest.importorskip("lightning.pytorch")
    import torch

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)
            self.seen = []

        def training_step(self, batch, _):
            x, y = (torch.as_tensor(part) for part in batch)
            self.seen.append(y.tolist())
            if fails and len(self.seen) == 3:
                raise ZeroDivisionError
            return (self.layer(x)[:, 0] - y).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 1e-6)

    before, batch_iter, model = threads(), pipe(), Model()
    trainer = lightning.Trainer(
        max_epochs=2,
        callbacks=[closing_callback(batch_iter)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    if fails:
        with pytest.raises(ZeroDivisionError):
            trainer.fit(model, train_dataloaders=batch_iter)
    else:
        trainer.fit(model, train_dataloaders=batch_iter)

    expected = [[float(n + i) for i in range(4)] for n in range(0, 40, 4)]
    assert expected[: 3 if fails else 10] == model.seen
    assert before == threads()
