"""The DataLoader in a Trainer of Lightning's: a checkpoint within an epoch."""

import functools
import importlib.util
import itertools
import logging
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from batchup import Loader  # noqa: E402
from batchup.interop.lightning import resuming_callback  # noqa: E402
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
        def __init__(self, one_cycle=False):
            super().__init__()
            self.layer, self.seen, self.one_cycle = torch.nn.Linear(1, 1), [], one_cycle

        def training_step(self, batch, i):
            self.seen.append(batch[0].tolist())
            return self.layer(batch[0][:, None]).mean()

        def validation_step(self, batch, i):
            pass

        def test_step(self, batch, i):
            pass

        def configure_optimizers(self):
            if self.one_cycle:  # makes Lightning ask for the loader before it has loaded the checkpoint
                assert self.trainer.estimated_stepping_batches
            return torch.optim.SGD(self.parameters(), 0.01)

    class SaveAt(pl.Callback):
        def __init__(self, step, path):
            self.step, self.path = step, path

        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == self.step:
                trainer.save_checkpoint(self.path)

    class SaveAfter(pl.Callback):
        def __init__(self, hook, epoch, path):
            self.epoch, self.path = epoch, path
            setattr(self, hook, self.save)

        def save(self, trainer, *_):
            if trainer.current_epoch == self.epoch:
                trainer.save_checkpoint(self.path)

    return SimpleNamespace(
        Trainer=pl.Trainer,
        Model=Model,
        SaveAt=SaveAt,
        SaveAfter=SaveAfter,
        ModelCheckpoint=pl.callbacks.ModelCheckpoint,
    )


def made(kind=DataLoader):
    dataset = torch.utils.data.TensorDataset(torch.arange(20.0))
    return kind(dataset, batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(1))


def trainer_of(folder, callbacks, **kwargs):
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    settings = {**quiet, "num_sanity_val_steps": 0, **kwargs}
    return lightning().Trainer(accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **settings)


def fit(folder, resume=None, callbacks=(), kind=DataLoader, **kwargs):
    torch.manual_seed(0)
    model = lightning().Model()
    trainer = trainer_of(folder, callbacks, **kwargs)
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


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return itertools.count()


def made_by_loader(wrapped):
    loader = Loader([np.arange(20, dtype=np.float32)], batch_size=4, shuffle=1)
    return wrapped(loader)


MADE = {
    "DataLoader": made,
    "with workers": lambda: made(functools.partial(DataLoader, num_workers=1)),
    "to_torch": lambda: made_by_loader(Loader.to_torch),
    "prefetch_to": lambda: made_by_loader(lambda loader: loader.to_torch().prefetch_to(lambda batch: batch)),
}


def fit_with(loader, folder, resume=None, callbacks=(), one_cycle=False, **kwargs):
    """Train on one loader, with `resuming_callback`."""
    torch.manual_seed(0)
    model = lightning().Model(one_cycle)
    trainer = trainer_of(folder, [resuming_callback(loader), *callbacks], **kwargs)
    trainer.fit(model, loader, made(torch.utils.data.DataLoader), ckpt_path=resume, weights_only=False)
    if hasattr(loader, "close"):
        loader.close()
    return model


TIMES = [3, 5, 7, 10, ("on_train_epoch_end", 0), ("on_validation_end", 1)]
CASES = [
    *((kind, at, one_cycle) for kind in MADE if kind != "with workers" for at in TIMES for one_cycle in (False, True)),
    *(("with workers", at, False) for at in [7, ("on_validation_end", 0)]),
]


@functools.cache
def whole(kind):
    """The run that is not cut off: the same for all cases."""
    return fit_with(MADE[kind](), None, max_epochs=3)


@pytest.mark.parametrize(("kind", "at", "one_cycle"), CASES, ids=str)
def test_a_checkpoint_with_the_loader(kind, at, one_cycle, tmp_path):
    """A run goes on at the exact next batch, also after the last batch of an epoch, where Lightning alone would not."""
    path, epochs = tmp_path / "run.ckpt", {"max_epochs": 3}
    save = lightning().SaveAt(at, path) if isinstance(at, int) else lightning().SaveAfter(*at, path)
    head_ends = {"max_steps": at} if isinstance(at, int) else {"max_epochs": at[1] + 1}

    expected = whole(kind)
    head = fit_with(MADE[kind](), tmp_path, callbacks=[save], one_cycle=one_cycle, **head_ends)
    rest = fit_with(MADE[kind](), tmp_path, resume=path, one_cycle=one_cycle, **epochs)

    assert expected.seen == head.seen + rest.seen
    assert torch.equal(expected.layer.weight, rest.layer.weight)


def test_checkpoints_of_lightning(tmp_path):
    """Those that ModelCheckpoint writes at the end of each epoch hold the loader, too."""
    saving = lightning().ModelCheckpoint(tmp_path, save_top_k=-1, filename="{epoch}")
    expected = fit_with(made(), tmp_path, callbacks=[saving], enable_checkpointing=True, max_epochs=3)
    rest = fit_with(made(), tmp_path, resume=tmp_path / "epoch=0.ckpt", max_epochs=3)

    assert expected.seen[5:] == rest.seen


def test_testing_a_checkpoint_moves_no_loader(tmp_path):
    """``trainer.test(ckpt_path=...)`` after the training leaves the loader at its place."""
    path, loader = tmp_path / "run.ckpt", made()
    trainer = trainer_of(
        tmp_path, [resuming_callback(loader), lightning().SaveAfter("on_train_epoch_end", 0, path)], max_epochs=2
    )
    trainer.fit(lightning().Model(), loader)
    before = loader.epoch, loader.step
    trainer.test(lightning().Model(), made(), ckpt_path=path, weights_only=False, verbose=False)

    assert before == (loader.epoch, loader.step)


def test_another_loader_than_that_of_the_trainer_is_an_error(tmp_path):
    """At the first batch, as its state would stay at the beginning."""
    trainer, model = trainer_of(tmp_path, [resuming_callback(made())], max_epochs=1), lightning().Model()

    with pytest.raises(RuntimeError, match="from a different loader than the DataLoader passed to resuming_callback"):
        trainer.fit(model, made())
    assert len(model.seen) == 1


def test_a_checkpoint_without_the_loader_is_said(tmp_path):
    """One that was written without the callback begins the epochs anew, with a warning."""
    path = tmp_path / "run.ckpt"
    fit(tmp_path, callbacks=[lightning().SaveAfter("on_train_epoch_end", 0, path)], max_epochs=1)

    with pytest.warns(UserWarning, match=r"saved without resuming_callback\(\)"):
        fit_with(made(), tmp_path, resume=path, max_epochs=2)


def test_loaders_need_a_state(tmp_path):
    """Others are an error at once, and those without a length; and their number should be that of the checkpoint."""
    with pytest.raises(TypeError, match="loaders of batchup, which have a state_dict"):
        resuming_callback([1, 2])
    with pytest.raises(TypeError, match="has no len"):
        resuming_callback(DataLoader(Endless()))

    callback, trainer = resuming_callback(made(), made()), SimpleNamespace(state=SimpleNamespace(fn="fit"))
    with pytest.raises(ValueError, match="has 2 loaders, but the checkpoint has 1"):
        callback.on_load_checkpoint(trainer, None, {"batchup": [made().state_dict()]})
