"""Files as items: ids, paths, and patterns."""

import pytest

from batchup.flow import Batch, Dataset, FilesIndex


@pytest.fixture
def folder(tmp_path):
    for name in ("one/b.png", "one/a.png", "two/c.png", "two/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_files_have_their_names_as_ids(folder):
    """Ids are file names with paths; files of a pattern are sorted by path; folders are ignored."""
    index = FilesIndex(path=f"{folder}/*/*.png")

    assert ["a.png", "b.png", "c.png"] == index.indices.tolist()
    assert f"{folder}/two/c.png" == index.get_fullpath("c.png")
    with pytest.raises(KeyError, match=r"no item 'd.png'"):
        index.get_fullpath("d.png")


@pytest.mark.parametrize("sort", [False, True])
def test_several_patterns(folder, sort):
    """Files of several patterns are concatenated or sorted; ids may omit the extension."""
    index = FilesIndex(path=[f"{folder}/two/*", folder / "one/*.png"], no_ext=True, sort=sort)

    assert (["a", "b", "c", "note"] if sort else ["c", "note", "a", "b"]) == index.indices.tolist()


def test_folders_as_items(folder):
    """``dirs=True`` indexes folders only; ``**`` matches any number of folders."""
    assert ["one", "two"] == FilesIndex(path=f"{folder}/*", dirs=True).indices.tolist()
    assert {"a.png", "b.png", "c.png", "note.txt"} == set(FilesIndex(f"{folder}/**", sort=True).indices)


def test_batches_of_files_know_their_paths(folder):
    """Subsets and batches keep the paths of their files."""
    index = FilesIndex(path=f"{folder}/*/*.png")

    batch = Dataset(index, Batch).next_batch(2).index

    assert [f"{folder}/one/a.png", f"{folder}/one/b.png"] == [batch.get_fullpath(each) for each in batch.indices]
    assert {"a.png", "b.png"} == set(batch.paths)
    assert [f"{folder}/two/c.png"] == list(index.create_subset(["c.png"]).paths.values())


def test_files_that_would_have_one_id_are_refused(folder):
    """The error names both files."""
    (folder / "two" / "a.png").write_bytes(b"")

    with pytest.raises(ValueError, match=r"one/a.png and .*two/a.png would both be 'a.png'"):
        FilesIndex(path=f"{folder}/*/*.png")


def test_a_pattern_without_files_is_refused(folder):
    """A pattern without files is an error, not an empty dataset."""
    with pytest.raises(ValueError, match="but there are none"):
        FilesIndex(path=f"{folder}/*.jpeg")
