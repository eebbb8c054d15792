"""The DataLoader in a Trainer of Lightning's: a checkpoint within an epoch."""

import functools
import importlib.util
import logging
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from batchup.interop.torch import DataLoader  # noqa: E402

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="needs Lightning"),
]
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


@functools.cache
def lightning():
    """Lightning, and classes of its; it takes seconds to import, which is not done where tests are only collected."""
    import lightning.pytorch as pl

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = torch.nn.Linear(1, 1), []

        def training_step(self, batch, i):
            self.seen.append(batch[0].tolist())
            return self.layer(batch[0][:, None]).mean()

        def validation_step(self, batch, i):
            pass

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.01)

    class SaveAt(pl.Callback):
        def __init__(self, step, path):
            self.step, self.path = step, path

        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == self.step:
                trainer.save_checkpoint(self.path)

    return SimpleNamespace(Trainer=pl.Trainer, Model=Model, SaveAt=SaveAt)


def made(kind=DataLoader):
    dataset = torch.utils.data.TensorDataset(torch.arange(20.0))
    return kind(dataset, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1))


def fit(folder, resume=None, callbacks=(), kind=DataLoader, **kwargs):
    torch.manual_seed(0)
    model = lightning().Model()
    trainer = lightning().Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **kwargs,
    )
    trainer.fit(model, made(kind), made(kind), ckpt_path=resume, weights_only=False)
    return model


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_checkpoint_within_an_epoch(step, tmp_path):
    """A run that was cut off goes on at the exact next batch, and ends with the same weights, to the bit."""
    path = tmp_path / "run.ckpt"
    expected = fit(tmp_path, max_epochs=2)
    head = fit(tmp_path, max_steps=step, callbacks=[lightning().SaveAt(step, path)])
    rest = fit(tmp_path, resume=path, max_epochs=2)

    assert expected.seen == head.seen + rest.seen
    assert torch.equal(expected.layer.weight, rest.layer.weight)


@pytest.mark.parametrize("kwargs", [{"val_check_interval": 2}, {"reload_dataloaders_every_n_epochs": 1}], ids=str)
def test_settings_of_the_trainer(kwargs, tmp_path):
    """With validation within an epoch, and loaders that are asked for anew, it trains as with PyTorch's loader."""
    theirs, ours = (
        fit(tmp_path, max_epochs=2, kind=kind, **kwargs) for kind in (torch.utils.data.DataLoader, DataLoader)
    )

    assert theirs.seen == ours.seen
