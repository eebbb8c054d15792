"""Training runs that are killed within an epoch, with prefetch, in Lightning and with Accelerate, and end as if not."""

import importlib.util
import os
import random
import signal
import textwrap

import pytest
from launcher import HEAVY, begun

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX"),
]

# A program gets its folder, the number of workers, and the number of the step that it does not survive. It saves its
# weights and the state of its loader after each step, or is killed before it has.
COMMON = """
    import hashlib, os, shutil, signal, sys, warnings
    from pathlib import Path

    import numpy as np
    import torch

    here, workers, fatal = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    SIZE, EPOCHS = 41, 3
    warnings.simplefilter("ignore")


    class Samples(torch.utils.data.Dataset):
        "What a sample is depends on the random numbers of its batch."

        def __len__(self):
            return SIZE

        def __getitem__(self, i):
            x = torch.full((3,), i / SIZE) + 0.1 * torch.rand(3) + 0.1 * np.random.rand()
            return x.float(), torch.tensor([i / SIZE])


    def loader_of_samples():
        from batchup.interop.torch import DataLoader

        return DataLoader(Samples(), 4, shuffle=True, num_workers=workers, generator=torch.Generator().manual_seed(7))


    def may_be_killed(step):
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)


    def told(model):
        weights = b"".join(each.detach().numpy().tobytes() for each in model.parameters())
        print(hashlib.sha256(weights).hexdigest())


    def made():
        torch.manual_seed(1)
        model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        return model, torch.optim.Adam(model.parameters(), 0.01)
"""

PREFETCH = """
    from batchup import ArrayDataSource, Loader


    def noisy(x, y, rng):
        return x + rng.normal(size=x.shape), y


    def put(batch):
        return tuple(torch.from_numpy(part).float() for part in batch)


    def main():
        draw = np.random.default_rng(0)
        source = ArrayDataSource([draw.normal(size=(SIZE, 3)), draw.normal(size=(SIZE, 1))]).random_map(noisy)
        model, optimizer = made()
        pool = {"pool": "processes", "workers": workers} if workers else {}
        with Loader(source, 4, shuffle=7, **pool).prefetch_to(put, depth=3) as loader:
            if (here / "saved").exists():
                saved = torch.load(here / "saved")
                model.load_state_dict(saved["model"])
                optimizer.load_state_dict(saved["optimizer"])
                loader.load_state_dict(saved["loader"])
            steps = 0
            while loader.epoch < EPOCHS:
                for x, y in loader:
                    optimizer.zero_grad()
                    (model(x) - y).square().mean().backward()
                    optimizer.step()
                    steps += 1
                    may_be_killed(steps)
                    parts = {"model": model, "optimizer": optimizer, "loader": loader}
                    torch.save({name: part.state_dict() for name, part in parts.items()}, here / "new")
                    os.replace(here / "new", here / "saved")
        told(model)


    if __name__ == "__main__":
        main()
"""

LIGHTNING = """
    import logging
    import lightning.pytorch as pl
    from batchup.interop.lightning import resuming_callback

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers, _ = made()

        def training_step(self, batch, step):
            x, y = batch
            return (self.layers(x) - y).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.01)


    class Saving(pl.Callback):
        steps = 0

        def on_train_batch_end(self, trainer, *_):
            self.steps += 1
            may_be_killed(self.steps)
            trainer.save_checkpoint(here / "new")
            os.replace(here / "new", here / "saved")


    def main():
        model, loader = Model(), loader_of_samples()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=EPOCHS,
            callbacks=[Saving(), resuming_callback(loader)],
            enable_model_summary=False,
            **quiet,
        )
        path = here / "saved" if (here / "saved").exists() else None
        trainer.fit(model, loader, ckpt_path=path, weights_only=False)
        told(model)


    if __name__ == "__main__":
        main()
"""

ACCELERATE = """
    from accelerate import Accelerator
    from batchup.interop.accelerate import prepare


    def main():
        accelerator = Accelerator(cpu=True)
        model, optimizer = accelerator.prepare(*made())
        loader = prepare(accelerator, loader_of_samples())
        accelerator.register_for_checkpointing(loader)
        if (here / "saved").exists():
            accelerator.load_state((here / "saved").read_text())
        steps = 0
        while loader.base_dataloader.epoch < EPOCHS:
            for x, y in loader:
                optimizer.zero_grad()
                accelerator.backward((model(x) - y).square().mean())
                optimizer.step()
                steps += 1
                may_be_killed(steps)
                folder = here / f"state{random_name()}"
                accelerator.save_state(folder, safe_serialization=False)
                (here / "new").write_text(str(folder))
                os.replace(here / "new", here / "saved")
        told(model)


    def random_name():
        return os.urandom(6).hex()


    if __name__ == "__main__":
        main()
"""

PROGRAMS = {
    "prefetch": (PREFETCH, "torch"),
    "lightning": (LIGHTNING, "lightning"),
    "accelerate": (ACCELERATE, "accelerate"),
}


def ended(program, folder, workers, fatal=0):
    """Run a program to its end: its exit code, and what it told."""
    code = textwrap.dedent(COMMON) + textwrap.dedent(program)
    done = begun(HEAVY, code, [folder, workers, fatal], folder=folder)
    out, err = done.communicate(timeout=120)
    assert done.returncode in (0, -signal.SIGKILL), err
    return done.returncode, out


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_killed_run_ends_as_if_it_had_not_been(name, tmp_path):
    """Killed at random steps, and resumed with another number of workers: the weights are equal to the last bit."""
    program, needed = PROGRAMS[name]
    if not importlib.util.find_spec(needed):
        pytest.skip(f"needs {needed}")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    kills = 2 if name == "prefetch" else 1  # the others need seconds to begin
    fatal = [random.randint(2, 14), random.randint(1, 14)][:kills]  # an epoch has 11 steps

    assert [(-signal.SIGKILL, "")] * kills == [
        ended(program, broken, workers, step) for workers, step in zip([0, 2], fatal, strict=False)
    ]
    assert ended(program, whole, workers=0) == ended(program, broken, workers=1), f"killed at steps {fatal}"
