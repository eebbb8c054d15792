"""Which rank this process is, and several ranks over one data set: plain DDP, Lightning and Accelerate."""

import json
import sys
import textwrap
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from launcher import HEAVY, begun

from batchup import Loader
from batchup.interop import ranks

pytestmark = pytest.mark.timeout(120)

LAUNCHED = {
    "torchrun": {"RANK": "1", "WORLD_SIZE": "3"},
    "SLURM": {"SLURM_PROCID": "1", "SLURM_NTASKS": "3"},
    "Open MPI": {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"},
}
NAMES = [name for each in LAUNCHED.values() for name in each]


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def pretend_torch(monkeypatch, rank, world):
    distributed = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_rank=lambda: rank,
        get_world_size=lambda: world,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(distributed=distributed))


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_the_environment_of_a_launcher(launcher, monkeypatch):
    """`shard="auto"` takes the rank that the launcher gave, and `repr` says so."""
    for name, value in LAUNCHED[launcher].items():
        monkeypatch.setenv(name, value)
    loader = Loader([np.arange(9)], 1, shuffle=7, shard="auto")

    assert f"shard=(1, 3) from the environment of {launcher}" in repr(loader)
    assert [x.tolist() for (x,) in loader] == [
        x.tolist() for (x,) in Loader([np.arange(9)], 1, shuffle=7, shard=(1, 3))
    ]


def test_a_process_group_comes_first(monkeypatch):
    """What is initialised knows better than the environment."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    pretend_torch(monkeypatch, 1, 2)

    assert ranks.Rank(1, 2, "torch.distributed") == ranks.found_rank()
    assert "shard=(1, 2) from torch.distributed" in repr(Loader([np.arange(9)], 1, shard="auto"))


def test_jax(monkeypatch):
    """The processes of JAX count where `jax.distributed` is initialised."""
    jax = SimpleNamespace(
        distributed=SimpleNamespace(is_initialized=lambda: True), process_index=lambda: 2, process_count=lambda: 4
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "jax", jax)

    assert ranks.Rank(2, 4, "jax.distributed") == ranks.found_rank({})


def test_one_process():
    """Where nobody knows of other processes, `shard="auto"` is no shard."""
    loader = Loader([np.arange(9)], 1, shard="auto")

    assert len(loader) == 9
    assert "shard" not in repr(loader)


@pytest.mark.parametrize("values", [("2", "2"), ("one", "2"), ("-1", "2")])
def test_an_environment_that_makes_no_sense(values, monkeypatch):
    """Variables that are no rank and world size are named, with what to do."""
    monkeypatch.setenv("RANK", values[0])
    monkeypatch.setenv("WORLD_SIZE", values[1])

    with pytest.raises(ValueError, match=f"RANK='{values[0]}', WORLD_SIZE='2'; pass shard=\\(rank, world\\)"):
        Loader([np.arange(9)], 1, shard="auto")


def test_a_shard_that_is_misspelt():
    """Other words are refused."""
    with pytest.raises(TypeError, match="or 'auto', not 'automatic'"):
        Loader([np.arange(9)], 1, shard="automatic")


def test_an_order_without_a_seed_is_refused(monkeypatch):
    """As with a shard that is given, all ranks need one seed."""
    pretend_torch(monkeypatch, 1, 2)

    with pytest.raises(ValueError, match="shuffle should be a seed"):
        Loader([np.arange(9)], 1, shuffle=True, shard="auto")


def test_ranks_that_get_the_same_batches_are_warned_once(monkeypatch):
    """Without a shard, all ranks of a process group get the same batches: the first loop says so, and no other."""
    loader = Loader([np.arange(9)], 3)
    pretend_torch(monkeypatch, 0, 2)
    with pytest.warns(UserWarning, match="2 ranks will get the same batches; pass shard="):
        list(loader)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)
        list(Loader([np.arange(9)], 3, shard=(0, 2)))


def test_a_process_group_of_one_is_not_warned(monkeypatch):
    """One rank may have all batches."""
    pretend_torch(monkeypatch, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(Loader([np.arange(9)], 3))) == 3


BEGIN = """
import json, os, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch
import torch.distributed as dist
from torch.utils.data import TensorDataset
from torch.utils.data.distributed import DistributedSampler
from batchup import Loader
from batchup.interop.torch import DataLoader
rank, folder = int(os.environ["RANK"]), sys.argv[1]
torch.set_num_threads(1)

def begin():
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)

def tell(**found):
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(found, file)
"""

DDP = """
begin()
loader = Loader([np.arange(10.0, dtype=np.float32)], 2, shuffle=7, shard="auto", remainder="pad")
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
seen = []
for (x,) in loader.to_torch():
    optimizer.zero_grad()
    model(x[:, None]).mean().backward()
    optimizer.step()
    seen += x.tolist()
sampler = DistributedSampler(range(10), seed=3)
theirs = DataLoader(TensorDataset(torch.arange(10)), 2, sampler=sampler)
shared = []
for epoch in range(2):
    sampler.set_epoch(epoch)
    shared.append([i for (x,) in theirs for i in x.tolist()])
weight = model.module.weight.item()
tell(seen=seen, shared=shared, weight=weight, repr=repr(loader))
dist.destroy_process_group()
"""

LIGHTNING_BEGIN = """
import logging
import lightning.pytorch as pl
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

class Model(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), []

    def training_step(self, batch, i):
        self.seen.append(batch[0].tolist())
        return self.layer(batch[0][:, None]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

def trainer_of(**kwargs):
    return pl.Trainer(
        accelerator="cpu", devices=2, strategy=DDPStrategy(process_group_backend="gloo"), logger=False,
        plugins=[TorchElasticEnvironment()], enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, **kwargs,
    )

os.environ.update(LOCAL_RANK=str(rank), TORCHELASTIC_RUN_ID="test")
begin()  # by a file: no port is taken
"""

LIGHTNING = (
    LIGHTNING_BEGIN
    + """
model, trainer = Model(), trainer_of(max_epochs=2)
trainer.fit(model, DataLoader(TensorDataset(torch.arange(12.0)), 2, shuffle=True))
loader, seen = trainer.train_dataloader, sum(model.seen, [])
tell(seen=[seen[:6], seen[6:]], kind=type(loader).__module__, sampler=type(loader.sampler).__name__)
"""
)

LIGHTNING_RESUMES = (
    LIGHTNING_BEGIN
    + """
from batchup.interop.lightning import resuming_callback

class Data(pl.LightningDataModule):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def setup(self, stage):
        if self.kind == "Loader":
            self.loader = Loader([np.arange(12, dtype=np.float32)], 2, shuffle=7, shard="auto").to_torch()
        else:
            dataset, generator = TensorDataset(torch.arange(12.0)), torch.Generator().manual_seed(3)
            self.loader = DataLoader(dataset, 2, sampler=DistributedSampler(dataset), generator=generator)

    def train_dataloader(self):
        return self.loader

class SaveAt(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(f"{folder}/at{self.step}.ckpt")

def fit(kind, callbacks=(), resume=None, **ends):
    model, data = Model(), Data(kind)
    callbacks = [resuming_callback(lambda: data.loader), *callbacks]
    trainer = trainer_of(callbacks=callbacks, use_distributed_sampler=False, **ends)
    trainer.fit(model, data, ckpt_path=resume, weights_only=False)
    return model.seen

found = {}
for kind in ["Loader", "DataLoader"]:
    whole = fit(kind, max_epochs=2)
    for step in [2, 3]:
        head = fit(kind, [SaveAt(step)], max_steps=step)
        rest = fit(kind, resume=f"{folder}/at{step}.ckpt", max_epochs=2)
        found[f"{kind} {step}"] = [whole, head + rest]
tell(**found)
"""
)

ACCELERATE = """
os.environ.update(LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT="1", ACCELERATE_USE_CPU="1")
begin()  # by a file: no port is taken
from accelerate import Accelerator
from batchup.interop.accelerate import prepare
accelerator = Accelerator(cpu=True)

def made():
    dataset = TensorDataset(torch.arange(11))
    return prepare(accelerator, DataLoader(dataset, 2, shuffle=True, generator=torch.Generator().manual_seed(3)))

loader = made()
gathered = [accelerator.gather_for_metrics(x).tolist() for (x,) in loader]
batches = iter(loader)
next(batches)
state = loader.state_dict()
rest = [x.tolist() for (x,) in batches]
other = made()
other.load_state_dict(state)
again = [x.tolist() for (x,) in other]
tell(gathered=sum(gathered, []), rest=rest, again=again, kind=type(loader.base_dataloader).__module__)
"""


def two_ranks(program, folder):
    """What each of two processes tells."""
    code = BEGIN + textwrap.dedent(program)
    processes = [
        begun(HEAVY, code, [folder], folder=folder, WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo", RANK=str(rank))
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=100)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [0, 0] == [process.returncode for process in processes], "\n".join(errors)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_ddp(tmp_path):
    """With DistributedDataParallel, each rank has its own batches, and both together have all."""
    pytest.importorskip("torch")
    first, second = two_ranks(DDP, tmp_path)

    assert set(range(10)) == set(map(int, first["seen"] + second["seen"]))
    assert len(first["seen"]) == len(second["seen"]) == 6  # one batch comes twice, so that all have three
    assert first["weight"] == second["weight"]
    assert "shard=(1, 2) from torch.distributed" in second["repr"]
    for epoch in range(2):
        assert list(range(10)) == sorted(first["shared"][epoch] + second["shared"][epoch])
    assert first["shared"][0] != first["shared"][1]


def test_lightning(tmp_path):
    """Lightning gives our DataLoader a DistributedSampler, as it does with PyTorch's, and sets its epoch."""
    pytest.importorskip("lightning")
    first, second = two_ranks(LIGHTNING, tmp_path)

    assert "batchup.interop.torch.loader" == first["kind"]
    assert "DistributedSampler" == first["sampler"]
    for epoch in range(2):
        assert list(range(12)) == sorted(map(int, first["seen"][epoch] + second["seen"][epoch]))
    assert first["seen"][0] != first["seen"][1]


def test_ranks_of_lightning_resume(tmp_path):
    """All ranks go on at the exact next batch with the checkpoint of one, within an epoch and at its end."""
    pytest.importorskip("lightning")
    for of_rank in two_ranks(LIGHTNING_RESUMES, tmp_path):
        for whole, parts in of_rank.values():
            assert len(whole) == 6
            assert whole == parts


def test_accelerate(tmp_path):
    """Accelerate shares out the batches once, gathers without duplicates, and resumes at the exact next batch."""
    pytest.importorskip("accelerate")
    first, second = two_ranks(ACCELERATE, tmp_path)

    assert "batchup.interop.torch.loader" == first["kind"]
    for rank in (first, second):
        assert list(range(11)) == sorted(rank["gathered"])
        assert rank["rest"] == rank["again"]
