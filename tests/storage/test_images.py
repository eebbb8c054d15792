"""Images in folders."""

import os

import numpy as np
import pytest

from batchup.storage import ImageFolder
from batchup.testing import ArrayLikeContract


class Stored(ArrayLikeContract):
    """The contract, for a file that is written for each test; the pools serve all tests."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.folder = tmp_path
        self.write(tmp_path)

    def test_pools_give_the_same_batches(self, pool):
        """A shuffled epoch in threads or processes is the one without, batch for batch."""
        self.same_in(pool)


class TestImages(Stored):
    def write(self, folder):
        image = pytest.importorskip("PIL.Image")
        for i in range(6):
            of_class = folder / "ab"[i % 2]
            of_class.mkdir(exist_ok=True)
            image.fromarray(np.full((5, 4, 3), 40 * i, np.uint8)).save(of_class / f"{i}.png")

    def make(self):
        return ImageFolder(self.folder, size=(5, 4))

    def expected(self):
        return np.stack([np.full((5, 4, 3), 40 * i, np.uint8) for i in [0, 2, 4, 1, 3, 5]])


def test_an_image_folder_says_what_is_in_it(tmp_path):
    """Paths in order, labels and classes; images of many sizes come as a list."""
    image = pytest.importorskip("PIL.Image")
    for i, name in enumerate(["dog/1.png", "cat/a/2.JPG", "cat/1.png", "cat/readme.txt"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("hello")
        else:
            image.new("RGB", (4 + i, 3)).save(tmp_path / name)
    images = ImageFolder(tmp_path)

    assert ["cat", "dog"] == images.classes
    assert [0, 0, 1] == images.labels.tolist()
    assert ["cat/1.png", "cat/a/2.JPG", "dog/1.png"] == [os.path.relpath(path, tmp_path) for path in images.paths]
    assert [(3, 4, 3), (3, 6, 3)] == [each.shape for each in images[[2, 0]]]
    assert (2, 2) == ImageFolder(tmp_path, size=(2, 2), mode="L")[0].shape


def test_a_damaged_image_is_named(tmp_path):
    """With its number and path."""
    pytest.importorskip("PIL")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_text("no image")

    with pytest.raises(OSError, match="cannot identify") as caught:
        ImageFolder(tmp_path)[[0]]
    assert any("sample 0" in note and "1.png" in note for note in caught.value.__notes__)


def test_a_folder_without_classes_is_an_error(tmp_path):
    """It says what should be there."""
    (tmp_path / "1.png").write_text("an image beside the classes")

    with pytest.raises(FileNotFoundError, match="sub-folder with images for each class"):
        ImageFolder(tmp_path)
