"""Items, their ids and their data: indices, batches and datasets."""
