"""What comes from the Hugging Face hub."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from unweave.compat.packages import load_dataset, package
from unweave.core.errors import InputError, nearest
from unweave.core.log import log

# Small samples of large corpora, by their short names.
DATASETS = {
    "openwebtext": "stas/openwebtext-10k",
    "owt": "stas/openwebtext-10k",
    "pile": "NeelNanda/pile-10k",
    "c4": "NeelNanda/c4-10k",
    "code": "NeelNanda/code-10k",
    "python": "NeelNanda/code-10k",
    "c4_code": "NeelNanda/c4-code-20k",
    "c4-code": "NeelNanda/c4-code-20k",
    "wiki": "NeelNanda/wiki-10k",
}


def get_hf_token() -> str | None:
    """The hub token in HF_TOKEN, if there is one."""
    return os.environ.get("HF_TOKEN") or None


def select_compatible_kwargs(kwargs_dict: Mapping[str, Any], callable: Callable[..., Any]) -> dict[str, Any]:
    """Those of the arguments that the function names."""
    return {
        name: value for name, value in kwargs_dict.items() if name in inspect.signature(callable).parameters
    }


def get_rotary_pct_from_config(config: Any) -> float:
    """Which part of a head's dimensions a transformers config rotates, in its old and new forms; 1.0 if it says nothing."""
    if hasattr(config, "rotary_pct"):
        return config.rotary_pct
    return (getattr(config, "rope_parameters", None) or {}).get("partial_rotary_factor", 1.0)


def download_file_from_hf(
    repo_name: str,
    file_name: str,
    subfolder: str = ".",
    cache_dir: str | Path | None = None,
    force_is_torch: bool = False,
    **kwargs: Any,
) -> Any:
    """A file of the hub: what it holds if it is JSON or torch's (".pth", or any with `force_is_torch`), else its path.

    Pickled files are read with `weights_only`, so that nothing in them is run; 3.9 runs it.

    Args:
        cache_dir: where it is kept; None is the hub's own cache.
        kwargs: passed on to `hf_hub_download` where it takes them.

    Raises:
        InputError: if huggingface_hub isn't installed.
    """
    download = package("huggingface_hub", "to download files").hf_hub_download
    where = {"repo_id": repo_name, "filename": file_name, "subfolder": subfolder, "cache_dir": cache_dir}
    path = Path(download(**where, **select_compatible_kwargs(kwargs, download)))
    if path.suffix == ".pth" or force_is_torch:
        return torch.load(path, map_location="cpu", weights_only=True)
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    log.info("%s is neither JSON nor torch's: its path is given", path.name)
    return str(path)


def clear_huggingface_cache() -> None:
    """Delete the hub's cache, with every model and dataset in it."""
    folder = Path(package("huggingface_hub.constants", "to know where the cache is").HF_HUB_CACHE)
    print(f"Deleting {folder} and all that is in it.")  # noqa: T201 - 3.9 says so too
    shutil.rmtree(folder, ignore_errors=True)


def keep_single_column(dataset: Any, col_name: str) -> Any:
    """A dataset of this column alone."""
    for other in [name for name in dataset.features if name != col_name]:
        dataset = dataset.remove_columns(other)
    return dataset


def get_dataset(dataset_name: str, **kwargs: Any) -> Any:
    """Ten thousand texts or so of a large corpus, from the hub, with a column "text".

    Args:
        dataset_name: "openwebtext" ("owt"), "pile", "c4", "code" ("python"), "c4_code", "wiki".
        kwargs: of `datasets.load_dataset`.

    Raises:
        InputError: for another name, or if `datasets` isn't installed.
    """
    if dataset_name not in DATASETS:
        raise InputError(
            wanted=f"one of {', '.join(DATASETS)}",
            got=repr(dataset_name),
            remedy=f"nearest: {nearest(dataset_name, DATASETS)}; others load with datasets.load_dataset(NAME)",
        )
    return load_dataset(DATASETS[dataset_name], split="train", **kwargs)
