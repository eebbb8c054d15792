"""The programs of the batchup 0.2 user guide run as they stand there, but for their file paths and loop bodies."""

import glob
import os
import types

import numpy as np
import pytest
import six

from batchup import data_source, sampling, work_pool

Image = pytest.importorskip("PIL.Image")


class ImageFileAccessor(object):
    def __init__(self, paths):
        # Paths is a list of file paths
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        # Check if its a built-in Python integer *or* a NumPy
        # integer type
        if isinstance(index, six.integer_types + (np.integer,)):
            return self._load_image(self.paths[index])
        elif isinstance(index, np.ndarray):
            if index.ndim != 1:
                raise ValueError("index array should only have 1 dimension, not {}".format(index.ndim))
            images = [self._load_image(self.paths[i]) for i in index]
            return np.stack(images, axis=0)
        else:
            raise TypeError("index should be an integer or a NumPy array, not a {}".format(type(index)))

    # Define a helper method for loading an image
    def _load_image(self, path):
        # Load the image using Pillow and convert to a NumPy array
        img = Image.open(path)
        return np.array(img)


class NonUniformImageFileAccessor(object):
    def __init__(self, paths):
        # Paths is a list of file paths
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        if isinstance(index, six.integer_types + (np.integer,)):
            return self._load_image(self.paths[index])
        elif isinstance(index, np.ndarray):
            if index.ndim != 1:
                raise ValueError("index array should only have 1 dimension, not {}".format(index.ndim))
            return [self._load_image(self.paths[i]) for i in index]
        else:
            raise TypeError("index should be an integer or a NumPy array, not a {}".format(type(index)))

    # Define a helper method for loading an image
    def _load_image(self, path):
        # Load the image using Pillow
        return Image.open(path)


def flip_batch(batch_X, batch_y):
    # Create an array of random 0's and 1's with 50% probability
    flip_flags = np.random.binomial(1, 0.5, size=(len(batch_X),))

    # Convert to `bool` dtype.
    flip_flags = flip_flags.astype(bool)

    # Flip the horizontal dimension in samples identified by
    # `flip_flags`
    batch_X[flip_flags, ...] = batch_X[flip_flags, :, :, ::-1]

    # Return the batch as a tuple
    return batch_X, batch_y


def augment_batch(batch_X, batch_y):
    out_X = []
    # For each PIL Image in `batch_X`:
    for img in batch_X:
        # Resize to 64 x 64
        img = img.resize((64, 64))

        # PIL allows you to easily get the image data as
        # a NumPy array
        x = np.array(img)

        out_X.append(x)

    # Stack the images into one array
    out_X = np.stack(out_X, axis=0)

    return (out_X, batch_y)


def save_photos(folder, sizes):
    """One JPEG for each size, of one grey each, so that a picture tells which file it is from."""
    folder.mkdir(parents=True)
    for i, size in enumerate(sizes):
        animal = "dog" if i % 3 == 0 else "cat"
        Image.new("RGB", size, (i, i, i)).save(folder / f"{animal}.{i:03}.jpg")


@pytest.fixture
def train():
    """As the guide assumes: `train_X` (sample, channel, height, width) and `train_y`, with few 1s among many 0s."""
    rng = np.random.RandomState(0)
    return types.SimpleNamespace(
        X=rng.uniform(size=(1000, 3, 4, 5)), y=(np.arange(1000) % 10 == 0).astype(np.int32), w=rng.uniform(size=1000)
    )


@pytest.fixture(scope="module")
def dogs_vs_cats(tmp_path_factory):
    """150 photos of three sizes, in a folder ``train``."""
    folder = tmp_path_factory.mktemp("dogs_vs_cats")
    save_photos(folder / "train", [(40 + 10 * (i % 3), 30 + 5 * (i % 2)) for i in range(150)])
    return folder


@pytest.fixture
def close():
    """Called with a pool, closes it at the end of the test, as a program's end would."""
    pools = []
    yield pools.append
    for pool in pools:
        pool.close()


def shuffled(n):
    """The order of an epoch of `n` samples that ``RandomState(12345)`` shuffles."""
    return np.random.RandomState(12345).permutation(n)


def lengths(batches):
    return [len(batch[0]) for batch in batches]


def joined(batches, i):
    return np.concatenate([batch[i] for batch in batches])


EPOCH = [64] * 15 + [40]  # 1000 samples in batches of 64


def test_quick_example(train):
    """The first loop of the guide: ``shuffle=True`` is NumPy's own generator, and the last batch is short."""
    train_X, train_y = train.X, train.y
    seen = []
    np.random.seed(12345)

    # Construct an array data source
    ds = data_source.ArrayDataSource([train_X, train_y])

    # Iterate over samples, drawing batches of 64 elements in
    # random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=True):
        seen.append((batch_X, batch_y))

    assert EPOCH == lengths(seen)
    np.testing.assert_array_equal(train_X[shuffled(1000)], joined(seen, 0))
    np.testing.assert_array_equal(train_y[shuffled(1000)], joined(seen, 1))


def test_simple_batch_iteration_from_numpy_arrays(train):
    """A RandomState gives the order of its own permutation."""
    train_X, train_y = train.X, train.y
    seen = []

    # Construct an array data source
    ds = data_source.ArrayDataSource([train_X, train_y])

    # Iterate over samples, drawing batches of 64 elements in
    # random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    assert EPOCH == lengths(seen)
    assert (64, 3, 4, 5) == seen[0][0].shape
    np.testing.assert_array_equal(train_X[shuffled(1000)], joined(seen, 0))
    np.testing.assert_array_equal(train_y[shuffled(1000)], joined(seen, 1))


def test_without_shuffle_the_samples_come_in_order(train):
    """A note of the guide: no value for ``shuffle`` keeps the order."""
    batches = list(data_source.ArrayDataSource([train.X, train.y]).batch_iterator(batch_size=64))

    assert EPOCH == lengths(batches)
    np.testing.assert_array_equal(train.X, joined(batches, 0))


def test_iterating_over_a_subset_of_the_samples(train):
    """``indices`` draws from those samples alone, in the permutation of the indices."""
    train_X, train_y = train.X, train.y
    seen = []

    # Randomly choose a subset of 200 samples, by indices
    subset_a = np.random.permutation(len(train_X))[:200]

    # Construct an array data source that will only draw samples whose indices are in
    # `subset_a`
    ds = data_source.ArrayDataSource([train_X, train_y], indices=subset_a)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    assert [64, 64, 64, 8] == lengths(seen)
    np.testing.assert_array_equal(train_X[subset_a[shuffled(200)]], joined(seen, 0))


def test_getting_the_indices_of_samples_in_the_mini_batches(train):
    """``include_indices`` puts the indices first, and they are those of the samples beside them."""
    train_X, train_y = train.X, train.y
    seen = []

    # Construct an array data source that will provide sample indices
    ds = data_source.ArrayDataSource([train_X, train_y], include_indices=True)

    # Drawing batches of 64 elements in random order
    for batch_ndx, batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_ndx, batch_X, batch_y))

    np.testing.assert_array_equal(shuffled(1000), joined(seen, 0))
    np.testing.assert_array_equal(train_X[joined(seen, 0)], joined(seen, 1))
    np.testing.assert_array_equal(train_y[joined(seen, 0)], joined(seen, 2))


def test_batches_from_repeated_arrays(train):
    """``repeats=5`` is five permutations, one behind the other, and batches run across the joints."""
    train_X, train_y = train.X, train.y
    rng = np.random.RandomState(12345)

    ds_times_5 = data_source.ArrayDataSource([train_X, train_y], repeats=5)

    batches = list(ds_times_5.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)))
    assert 5000 == ds_times_5.num_samples()
    assert [64] * 78 + [8] == lengths(batches)
    np.testing.assert_array_equal(
        train_X[np.concatenate([rng.permutation(1000) for _ in range(5)])], joined(batches, 0)
    )


def test_batches_from_infinitely_looped_arrays(train):
    """``repeats=-1`` never ends."""
    train_X, train_y = train.X, train.y

    inf_ds = data_source.ArrayDataSource([train_X, train_y], repeats=-1)

    batches = inf_ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345))
    assert np.inf == inf_ds.num_samples()
    assert [64] * 50 == lengths(next(batches) for _ in range(50))


def test_a_batch_can_be_larger_than_the_data(train):
    """A note of the guide: looped data with fewer samples than a batch fills it all the same."""
    train_X, train_y = train.X[:10], train.y[:10]

    inf_ds = data_source.ArrayDataSource([train_X, train_y], repeats=-1)

    batch_X, batch_y = next(inf_ds.batch_iterator(batch_size=64))
    np.testing.assert_array_equal(train_X[np.arange(64) % 10], batch_X)
    np.testing.assert_array_equal(train_y[np.arange(64) % 10], batch_y)


def test_data_augmentation_on_the_fly(train):
    """A mapped source flips some images of each batch, and never the user's own."""
    train_X, train_y = train.X, train.y
    before = train_X.copy()
    seen = []
    augment_batch = flip_batch
    np.random.seed(0)

    # Construct an array data source from ``train_X`` and ``train_y``
    ds = data_source.ArrayDataSource([train_X, train_y])

    # Apply augmentation using `augment_batch`
    ds = ds.map(augment_batch)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    images, straight = joined(seen, 0), before[shuffled(1000)]
    flipped = (images == straight[..., ::-1]).all(axis=(1, 2, 3))
    unchanged = (images == straight).all(axis=(1, 2, 3))
    assert EPOCH == lengths(seen)
    assert (flipped ^ unchanged).all()
    assert 400 < flipped.sum() < 600
    np.testing.assert_array_equal(before, train_X)


def test_loading_images_from_disk_on_the_fly(tmp_path):
    """An accessor over files stands in place of an array."""
    save_photos(tmp_path / "images", [(20, 10)] * 100)
    train_y = np.arange(100)
    seen = []

    # Put your dataset path here
    PATH = str(tmp_path / "images")

    # Get image paths
    image_paths = glob.glob(os.path.join(PATH, "*.jpg"))

    # Build our array-like image file accessor
    train_X = ImageFileAccessor(image_paths)

    # Mixing custom array types with NumPy arrays is fine
    ds = data_source.ArrayDataSource([train_X, train_y])

    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    assert [(64, 10, 20, 3), (36, 10, 20, 3)] == [batch_X.shape for batch_X, _ in seen]
    np.testing.assert_array_equal(shuffled(100), joined(seen, 1))
    greys = [int(os.path.basename(image_paths[i]).split(".")[1]) for i in shuffled(100)]
    np.testing.assert_array_equal(greys, joined(seen, 0)[:, 0, 0, 0])


def kaggle(folder):
    """The data of the guide's "Lists instead of arrays": the accessor, and classes from the files' names."""
    # Put your dataset path here
    PATH = str(folder)

    # Get paths to the training set images
    image_paths = glob.glob(os.path.join(PATH, "train", "*.jpg"))

    # Build our array-like image file accessor
    train_X = NonUniformImageFileAccessor(image_paths)

    # Construct our ground truths as a NumPy array
    # The ground truth class is determined by the prefix
    train_y = [(1 if os.path.basename(p).startswith("dog") else 0) for p in image_paths]
    train_y = np.array(train_y, dtype=np.int32)
    return train_X, train_y


def should_be_dogs_and_cats(batches, train_X, train_y):
    """Images of 64 x 64 in the shuffled order, each beside its own class."""
    order = shuffled(150)
    greys = [int(os.path.basename(train_X.paths[i]).split(".")[1]) for i in order]
    assert [(64, 64, 64, 3), (64, 64, 64, 3), (22, 64, 64, 3)] == [batch_X.shape for batch_X, _ in batches]
    assert np.int32 == batches[0][1].dtype
    np.testing.assert_array_equal(greys, joined(batches, 0)[:, 0, 0, 0])
    np.testing.assert_array_equal(train_y[order], joined(batches, 1))
    assert 50 == joined(batches, 1).sum()


def test_lists_instead_of_arrays(dogs_vs_cats):
    """Images of differing sizes travel as a list until the augmentation makes an array of them."""
    train_X, train_y = kaggle(dogs_vs_cats)
    seen = []

    # Mixing custom array types with NumPy arrays is fine
    kaggle_ds = data_source.ArrayDataSource([train_X, train_y])

    # Apply augmentation function
    kaggle_ds = kaggle_ds.map(augment_batch)

    for batch_X, batch_y in kaggle_ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    should_be_dogs_and_cats(seen, train_X, train_y)


def test_using_threads(dogs_vs_cats, close):
    """Four threads give the batches that no threads give, in the same order."""
    train_X, train_y = kaggle(dogs_vs_cats)
    seen = []

    # Build a pool of 4 worker threads:
    th_pool = work_pool.WorkerThreadPool(processes=4)
    close(th_pool)

    # Build our data source and apply augmentation function
    ds = data_source.ArrayDataSource([train_X, train_y])

    ds = ds.map(augment_batch)

    # Construct a parallel data source that prepares mini-batches in the
    # background. It wraps the existing data source `ds` and will try
    # to keep a buffer of 32 mini-batches full to eliminate latency:
    par_ds = th_pool.parallel_data_source(ds, batch_buffer_size=32)

    # As soon as we create an iterator, it will start filling its
    # buffer; lets create an iterator right now to get it going in
    # the background:
    par_iter = par_ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345))

    for batch_X, batch_y in par_iter:
        seen.append((batch_X, batch_y))

    should_be_dogs_and_cats(seen, train_X, train_y)


@pytest.mark.timeout(90)
def test_using_processes(dogs_vs_cats, close, kept_processes, monkeypatch):
    """Four processes do, too: the accessor and the augmentation go to them as they are."""
    monkeypatch.setattr(work_pool, "WorkerProcessPool", lambda processes: kept_processes(processes))
    train_X, train_y = kaggle(dogs_vs_cats)
    ds = data_source.ArrayDataSource([train_X, train_y]).map(augment_batch)
    seen = []

    # Build a pool of 4 worker processes:
    proc_pool = work_pool.WorkerProcessPool(processes=4)
    close(proc_pool)

    # Construct a data source that prepares mini-batches in the
    # background. It wraps the existing data source `ds` and will try
    # to keep a buffer of 32 mini-batches full to eliminate latency:
    par_ds = proc_pool.parallel_data_source(ds, batch_buffer_size=32)

    for batch_X, batch_y in par_ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))

    should_be_dogs_and_cats(seen, train_X, train_y)


@pytest.fixture
def semi():
    """Few labelled samples, whose class tells which they are, beside many that are not."""
    return types.SimpleNamespace(lab_X=np.arange(100) * 10, lab_y=np.arange(100), unlab_X=np.arange(1000, 1300))


def semi_supervised_orders():
    """The orders of the labelled samples (looped) and the unlabelled, each drawn when a batch needs it."""
    rng = np.random.RandomState(12345)
    labelled, unlabelled = rng.permutation(100), rng.permutation(300)
    while len(labelled) < 300:
        labelled = np.concatenate([labelled, rng.permutation(100)])
    return labelled, unlabelled


def test_two_data_sets_without_a_composite(semi):
    """Two iterators that share a generator, taken in turns."""
    lab_X, lab_y, unlab_X = semi.lab_X, semi.lab_y, semi.unlab_X
    seen = []

    rng = np.random.RandomState(12345)

    # Construct the data sources; the labeled data source will
    # repeat infinitely
    ds_lab = data_source.ArrayDataSource([lab_X, lab_y], repeats=-1)
    ds_unlab = data_source.ArrayDataSource([unlab_X])

    # Construct an iterator to get samples from our labeled data source:
    lab_iter = ds_lab.batch_iterator(batch_size=64, shuffle=rng)

    # Iterate over the unlabeled data set in the for-loop
    for (batch_unlab_X,) in ds_unlab.batch_iterator(batch_size=64, shuffle=rng):
        # Extract batches from the labeled iterator ourselves
        batch_lab_X, batch_lab_y = next(lab_iter)

        # (we could also use `zip`)

        seen.append((batch_lab_X, batch_lab_y, batch_unlab_X))

    assert [(64, 64, 64)] * 4 + [(64, 64, 44)] == [tuple(map(len, batch)) for batch in seen]
    assert set(unlab_X) == set(joined(seen, 2))
    np.testing.assert_array_equal(joined(seen, 0), 10 * joined(seen, 1))


def test_two_data_sets_with_a_composite(semi):
    """A composite draws its members in order, from one generator, and trims the last batch to the shorter part."""
    lab_X, lab_y, unlab_X = semi.lab_X, semi.lab_y, semi.unlab_X
    rng = np.random.RandomState(12345)
    seen = []

    # Construct the data sources; the labeled data source will
    # repeat infinitely
    ds_lab = data_source.ArrayDataSource([lab_X, lab_y], repeats=-1)
    ds_unlab = data_source.ArrayDataSource([unlab_X])
    # Combine with a `CompositeDataSource`
    ds = data_source.CompositeDataSource([ds_lab, ds_unlab])

    # Iterate over both the labeled and unlabeled samples:
    for batch_lab_X, batch_lab_y, batch_unlab_X in ds.batch_iterator(batch_size=64, shuffle=rng):
        seen.append((batch_lab_X, batch_lab_y, batch_unlab_X))

    labelled, unlabelled = semi_supervised_orders()
    assert [(64, 64, 64)] * 4 + [(44, 44, 44)] == [tuple(map(len, batch)) for batch in seen]
    np.testing.assert_array_equal(lab_X[labelled], joined(seen, 0))
    np.testing.assert_array_equal(lab_y[labelled], joined(seen, 1))
    np.testing.assert_array_equal(unlab_X[unlabelled], joined(seen, 2))


def test_a_composite_with_structured_batches(semi):
    """``flatten=False`` keeps a tuple for each member."""
    lab_X, lab_y, unlab_X = semi.lab_X, semi.lab_y, semi.unlab_X
    rng = np.random.RandomState(12345)
    seen = []
    ds_lab = data_source.ArrayDataSource([lab_X, lab_y], repeats=-1)
    ds_unlab = data_source.ArrayDataSource([unlab_X])

    # Disable flattening with `flatten=False`
    ds_struct = data_source.CompositeDataSource([ds_lab, ds_unlab], flatten=False)

    # Iterate over both the labeled and unlabeled samples.
    for (batch_lab_X, batch_lab_y), (batch_unlab_X,) in ds_struct.batch_iterator(batch_size=64, shuffle=rng):
        seen.append((batch_lab_X, batch_lab_y, batch_unlab_X))

    labelled, unlabelled = semi_supervised_orders()
    np.testing.assert_array_equal(lab_X[labelled], joined(seen, 0))
    np.testing.assert_array_equal(unlab_X[unlabelled], joined(seen, 2))


def choices(weights, batches):
    """What NumPy's own ``choice`` draws, batch by batch."""
    rng = np.random.RandomState(12345)
    p = weights / weights.sum()
    return np.concatenate([rng.choice(len(p), size=(64,), p=p) for _ in range(batches)])


def test_the_weighted_sampler(train):
    """Batches without end, each drawn as NumPy's ``choice`` draws by the weights."""
    train_X, train_y, train_w = train.X, train.y, train.w
    seen = []

    sampler = sampling.WeightedSampler(weights=train_w)

    ds = data_source.ArrayDataSource([train_X, train_y], sampler=sampler)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))
        if len(seen) == 20:
            break

    assert [64] * 20 == lengths(seen)
    np.testing.assert_array_equal(train_X[choices(train_w, 20)], joined(seen, 0))


@pytest.mark.parametrize("shuffle", [False, None])
def test_a_weighted_sampler_has_no_order(train, shuffle):
    """A note of the guide: ``shuffle`` cannot be False or None."""
    ds = data_source.ArrayDataSource([train.X], sampler=sampling.WeightedSampler(weights=train.w))

    with pytest.raises(NotImplementedError, match="no order"):
        next(ds.batch_iterator(batch_size=64, shuffle=shuffle))


def test_the_weighted_subset_sampler(train):
    """Weights over a subset draw from it alone."""
    train_X, train_y, train_w = train.X, train.y, train.w
    subset_a = np.random.permutation(len(train_X))[:200]
    seen = []

    # NOTE that the weights parameter is called `sub_weights` (rather
    # than `weights`) and that it must have the same length as `indices`.
    sampler = sampling.WeightedSubsetSampler(sub_weights=train_w[subset_a], indices=subset_a)

    ds = data_source.ArrayDataSource([train_X, train_y], sampler=sampler)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))
        if len(seen) == 20:
            break

    np.testing.assert_array_equal(train_X[subset_a[choices(train_w[subset_a], 20)]], joined(seen, 0))


def test_counteracting_class_imbalance(train):
    """A class of 1 in 10 makes up half of the samples drawn."""
    train_X, train_y = train.X, train.y
    seen = []

    # Construct the sampler; NOTE that the `n_classes` argument
    # is *optional*
    sampler = sampling.WeightedSampler.class_balancing_sampler(y=train_y, n_classes=train_y.max() + 1)

    ds = data_source.ArrayDataSource([train_X, train_y], sampler=sampler)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))
        if len(seen) == 20:
            break

    np.testing.assert_array_equal(train_y[choices(np.where(train_y, 9.0, 1.0), 20)], joined(seen, 1))
    assert 0.45 < joined(seen, 1).mean() < 0.55


def test_modified_class_balancing_weights(train):
    """The weights that balance the classes can be changed before a sampler is made of them."""
    train_X, train_y = train.X, train.y
    seen = []

    def modify_weights(weights):
        return np.where(train_y, weights * 3, weights)

    weights = sampling.WeightedSampler.class_balancing_sample_weights(y=train_y, n_classes=train_y.max() + 1)

    # Assume `modify_weights` is defined above
    weights = modify_weights(weights)

    # Construct the sampler and the data source
    sampler = sampling.WeightedSampler(weights=weights)
    ds = data_source.ArrayDataSource([train_X, train_y], sampler=sampler)

    # Drawing batches of 64 elements in random order
    for batch_X, batch_y in ds.batch_iterator(batch_size=64, shuffle=np.random.RandomState(12345)):
        seen.append((batch_X, batch_y))
        if len(seen) == 20:
            break

    np.testing.assert_array_equal(train_y[choices(weights, 20)], joined(seen, 1))
    assert 0.70 < joined(seen, 1).mean() < 0.80
