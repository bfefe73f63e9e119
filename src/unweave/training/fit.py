"""Whether a model can read a task's tokens and give its answers."""

from __future__ import annotations

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.tasks import Task


def require_fit(cfg: HookedTransformerConfig, task: Task) -> None:
    """Refuse a model that can't be trained on the task.

    Raises:
        InputError: if it is no task of tokens, or their sizes differ.
    """
    if not isinstance(task, Task):
        raise InputError(
            wanted="a task of tokens",
            got=type(task).__name__,
            remedy="see unweave.tasks.names() for those that a transformer can be trained on",
        )
    if cfg.d_vocab != task.d_vocab or cfg.d_vocab_out != task.d_vocab_out or cfg.n_ctx < task.n_ctx:
        same = task.d_vocab == task.d_vocab_out
        sizes = f"d_vocab = d_vocab_out = {task.d_vocab}"
        sizes = sizes if same else f"d_vocab = {task.d_vocab}, d_vocab_out = {task.d_vocab_out}"
        raise InputError(
            wanted=f"a model with {sizes} and n_ctx >= {task.n_ctx}",
            got=f"d_vocab {cfg.d_vocab}, d_vocab_out {cfg.d_vocab_out}, n_ctx {cfg.n_ctx}",
            remedy="build model and task with the same sizes",
        )
