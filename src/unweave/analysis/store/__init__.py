"""Activations of a model over a dataset, on disk: written by one process or several, read a row at a time."""

from unweave.analysis.store.batches import Batch
from unweave.analysis.store.merging import merge
from unweave.analysis.store.reader import Column, Store
from unweave.analysis.store.reader import open_store as open  # noqa: A004
from unweave.analysis.store.writer import write, write_part

__all__ = ["Batch", "Column", "Store", "merge", "open", "write", "write_part"]
