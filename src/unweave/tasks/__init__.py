"""Synthetic tasks: data, loss and ground truth; they know nothing of models."""

from unweave.tasks.batch import Batch
from unweave.tasks.previous_token import PreviousToken

__all__ = ["Batch", "PreviousToken"]
