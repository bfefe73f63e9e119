"""A list of modules of one type."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import nn

T = TypeVar("T", bound=nn.Module)


class TypedModuleList(nn.ModuleList, Generic[T]):
    """An `nn.ModuleList` that can be annotated: `TypedModuleList[TransformerBlock]`."""
