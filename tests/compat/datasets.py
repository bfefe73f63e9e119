"""A stand-in for `datasets`, which is large: as much of its Dataset as TransformerLens' helpers use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class ColumnDataset:
    """Columns of one length."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns, self.format = columns, None

    @property
    def features(self) -> dict[str, Any]:
        return dict.fromkeys(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        row = {name: column[key] for name, column in self.columns.items()}
        return {name: torch.as_tensor(value) for name, value in row.items()} if self.format else row

    def remove_columns(self, name: str) -> ColumnDataset:
        return ColumnDataset({other: column for other, column in self.columns.items() if other != name})

    def map(
        self,
        function: Callable[[dict[str, list[Any]]], dict[str, Any]],
        batched: bool,
        remove_columns: list[str],
        num_proc: int | None = None,
    ) -> ColumnDataset:
        assert batched and remove_columns == list(self.columns)
        return ColumnDataset({name: list(column) for name, column in function(self.columns).items()})

    def set_format(self, type: str, columns: list[str]) -> None:
        assert type == "torch" and columns == list(self.columns)
        self.format = type
