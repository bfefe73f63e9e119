"""Synthetic tasks: data, loss and ground truth; they know nothing of models."""

from unweave.tasks.batch import IGNORED, Batch
from unweave.tasks.brackets import Brackets
from unweave.tasks.catalogue import names, task_from
from unweave.tasks.histogram import Histogram
from unweave.tasks.indirect_object import IndirectObject
from unweave.tasks.induction import Induction
from unweave.tasks.k_back import KBack
from unweave.tasks.markov_chains import MarkovChains
from unweave.tasks.modular_arithmetic import ModularArithmetic
from unweave.tasks.previous_token import PreviousToken
from unweave.tasks.sparse_features import SparseFeatures
from unweave.tasks.task import Task
from unweave.tasks.transduction import Copy, Reverse, Sort

__all__ = [
    "IGNORED",
    "Batch",
    "Brackets",
    "Copy",
    "Histogram",
    "IndirectObject",
    "Induction",
    "KBack",
    "MarkovChains",
    "ModularArithmetic",
    "PreviousToken",
    "Reverse",
    "Sort",
    "SparseFeatures",
    "Task",
    "names",
    "task_from",
]
