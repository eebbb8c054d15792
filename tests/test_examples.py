"""The programs in examples that promise something run to their end, and show it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launcher import begun, installed

pytestmark = pytest.mark.skipif(not installed("sklearn"), reason="needs scikit-learn")

EXAMPLES = Path(__file__).parent.parent / "examples"


# What most of them import: they are forks of a process that has (see `launcher`). So are those with PyTorch.
DIGITS = installed("sklearn.datasets", "sklearn.neural_network", "matplotlib.figure", "h5py", "zarr", "threadpoolctl")
TORCH = installed("torch", "lightning.pytorch", "sklearn.datasets", "tqdm")


@pytest.fixture
def printed(tmp_path):
    """Gives what a program prints; its end is that of the test, if it does not come by itself."""

    def printed(program, *arguments, modules=DIGITS):
        done = begun(modules, EXAMPLES / program, arguments, folder=tmp_path, options=["-W", "error"])
        out, err = done.communicate(timeout=200)
        assert (0, "") == (done.returncode, err)
        return out

    return printed


def launched(program, *arguments, launcher=()):
    """What the program prints that begins as on a command line."""
    command = [sys.executable, *(launcher or ["-W", "error"]), EXAMPLES / program, *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"} if launcher else None
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=env)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.timeout(240)
def test_a_killed_and_resumed_run_ends_with_the_same_weights(printed):
    """A run that is killed twice and resumed with other pools ends with the weights of an uninterrupted run."""
    lines = printed("resume.py", "--epochs", "4").splitlines()

    assert "the weights of both runs are equal, bit for bit: True" == lines[-1]
    assert 2 == sum("killed after" in line for line in lines)


@pytest.mark.timeout(240)
def test_two_ranks_share_an_epoch(printed):
    """Two ranks together see every sample once, and end with the same weights."""
    lines = printed("two_ranks.py", "--epochs", "2").splitlines()

    assert "in each of 2 epochs, both ranks together see every sample once: True" in lines
    assert "both ranks end with the same weights, bit for bit: True" in lines


@pytest.mark.timeout(240)
def test_training_from_files_gives_the_weights_of_training_from_memory(printed, tmp_path):
    """Digits in HDF5 and zarr files, contiguous and compressed, in worker processes."""
    for library in ("h5py", "zarr", "matplotlib"):
        pytest.importorskip(library)
    lines = printed("hdf5_zarr.py", "--epochs", "2", "--out", str(tmp_path / "rates.png")).splitlines()

    assert "all weights are equal, bit for bit: True" in lines
    assert (tmp_path / "rates.png").stat().st_size > 0


def accuracy_of(lines):
    """The number that an example ends with."""
    what, _, number = lines[-1].rpartition(": ")
    assert what.startswith("accuracy on held-out"), lines
    return float(number.rstrip("%")) / 100


@pytest.mark.timeout(240)
def test_training_in_pytorch_with_few_labels(printed):
    """The bar counts the steps, and unlabelled crops help to tell the photographs apart."""
    for library in ("torch", "tqdm"):
        pytest.importorskip(library)
    lines = printed("torch_images.py", "--steps", "60", modules=TORCH).splitlines()

    assert any("60/60" in line for line in lines)
    assert accuracy_of(lines) > 0.7


@pytest.mark.timeout(240)
def test_training_in_pytorch_on_two_ranks():
    """Each rank has half of the batches, and says that torchrun told it so; one of them shows the bar."""
    for library in ("torch", "tqdm"):
        pytest.importorskip(library)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = launched("ddp.py", "--epochs", "3", launcher=launcher)
    lines = said.splitlines()

    assert {"(0, 2)", "(1, 2)"} == set(re.findall(r"shard=(\(\d, 2\)) from torch", said))
    assert any("24/24" in line for line in lines)
    assert accuracy_of(lines) > 0.8


@pytest.mark.timeout(240)
def test_a_run_of_lightning_goes_on_within_an_epoch(printed):
    """It ends with the same weights as one without a break."""
    for library in ("torch", "lightning"):
        pytest.importorskip(library)

    assert "the weights of both runs are equal, bit for bit: True" in printed("lightning_resume.py", modules=TORCH)


@pytest.mark.timeout(240)
def test_training_in_jax_on_eight_devices():
    """The bar counts the batches of all epochs, each of which is spread over the devices."""
    for library in ("jax", "tqdm"):
        pytest.importorskip(library)
    lines = launched("jax_sharded.py", "--epochs", "4").splitlines()

    assert any("92/92" in line for line in lines)
    assert "each batch was on 8 devices" in lines
    assert accuracy_of(lines) > 0.8


@pytest.mark.timeout(240)
def test_training_in_keras():
    """The bar of Keras has the number of batches."""
    for library in ("keras", "jax"):
        pytest.importorskip(library)
    lines = launched("keras_fit.py", "--epochs", "2").splitlines()

    assert any("47/47" in line for line in lines)
    assert accuracy_of(lines) > 0.8


def numbers(line):
    """The numbers of a line, percentages as shares."""
    return [float(n) / (100 if sign else 1) for n, sign in re.findall(r"(\d+(?:\.\d+)?)(%?)", line)]


@pytest.mark.timeout(240)
def test_class_counts_find_the_rare_class_with_fewer_batches(printed, tmp_path):
    """The average precision is higher than with plain shuffling, on average over two tables."""
    pytest.importorskip("matplotlib")
    plain, counted, _ = printed("imbalanced.py", "--seeds", "2", "--out", str(tmp_path / "curves.png")).splitlines()

    assert ("plain", "class") == (plain.split()[0], counted.split()[0])
    assert numbers(plain)[0] < numbers(counted)[0]
    assert (tmp_path / "curves.png").stat().st_size > 0


@pytest.mark.timeout(240)
def test_hard_examples_are_learnt_by_their_weights(printed, tmp_path):
    """The hardest digits have a smaller loss than with plain shuffling."""
    pytest.importorskip("matplotlib")
    plain, hard, _ = printed("hard_examples.py", "--epochs", "6", "--out", str(tmp_path / "epochs.png")).splitlines()

    assert numbers(hard)[1] < numbers(plain)[1]
    assert (tmp_path / "epochs.png").stat().st_size > 0


@pytest.mark.timeout(240)
def test_buckets_save_padding(printed):
    """Most of it, in the Loader and in a stream; the shapes of the Loader's batches are those that the sampler says."""
    plain, sampler, stream, shapes = printed("buckets.py", "--epochs", "3").splitlines()

    assert max(numbers(sampler)[0], numbers(stream)[0]) < numbers(plain)[0] / 3
    assert shapes.endswith("as the sampler says: True")


@pytest.mark.timeout(240)
def test_batches_from_a_cluster_give_the_same_weights():
    """Two worker processes of a Dask cluster make the batches of the loop's own thread."""
    pytest.importorskip("distributed")
    lines = launched("dask_cluster.py", "--epochs", "1").splitlines()

    assert "batches were made by 2 workers of the cluster" in lines
    assert "the weights of both runs are equal, bit for bit: True" in lines
    assert accuracy_of(lines) > 0.8
