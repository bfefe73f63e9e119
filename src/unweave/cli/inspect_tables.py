"""An inspection as tables that read well at 80 columns."""

from __future__ import annotations

import re

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unweave.cli.sizes import counted, headed, in_bytes
from unweave.pretrained.inspection import Hook, Inspection


def print_inspection(terminal: Console, found: Inspection) -> None:
    """Print sizes, memory and hooks."""
    for table in (_sizes(found), _memory(found), _hooks(found)):
        if table.title:
            # In the table it would be broken where the table ends.
            terminal.print(Text(str(table.title), style="bold"))
            table.title = None
        terminal.print(table)
        terminal.print()


def _titled(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold")


def _sizes(found: Inspection) -> Table:
    cfg = found.cfg
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    grouped = f", {cfg.n_key_value_heads} of keys and values" if cfg.n_key_value_heads else ""
    mlp = "none" if cfg.attn_only else f"{cfg.d_mlp} wide, {cfg.act_fn}{', gated' if cfg.gated_mlp else ''}"
    if cfg.num_experts:
        mlp += f", {cfg.num_experts} experts, {cfg.experts_per_token} a token"
    for name, value in (
        ("model", found.name),
        ("family", found.family or "unweave's own"),
        ("parameters", f"{counted(found.parameters)} ({found.parameters:,})"),
        ("layers", f"{cfg.n_layers}, d_model {cfg.d_model}"),
        ("heads", f"{cfg.n_heads} of {cfg.d_head}{grouped}"),
        ("MLP", mlp),
        ("norm", str(cfg.normalization_type)),
        ("positions", f"{cfg.positional_embedding_type}, n_ctx {cfg.n_ctx}"),
        ("vocabulary", f"{cfg.d_vocab}"),
    ):
        table.add_row(name, Text(value, style="bold" if name == "model" else ""))
    return table


def _memory(found: Inspection) -> Table:
    title = f"Memory, {found.dtype}, batch {found.batch} of {found.seq} positions"
    table = headed(_titled(title), "Part", "Size")
    for name, size in (
        ("weights", found.weights),
        ("key-value cache", found.kv_cache),
        ("full activation cache", found.activation_cache),
    ):
        table.add_row(name, in_bytes(size))
    return table


def _hooks(found: Inspection) -> Table:
    """Layers whose hooks are alike on one line: blocks.{0…11}."""
    title = "Hooks, and the shape of what passes them (* computed when it is named)"
    table = headed(_titled(title), "Name", "Shape")
    for name, hook in _gathered(found.hooks).items():
        shape = " × ".join(map(str, hook.shape))
        table.add_row(Text(name + ("*" if hook.on_demand else "")), Text(shape))
    return table


def _gathered(hooks: tuple[Hook, ...]) -> dict[str, Hook]:
    groups: dict[tuple[str, str], list[Hook]] = {}
    for hook in hooks:
        pattern = re.sub(r"(blocks|experts)\.\d+\.", r"\1.#.", hook.name)
        groups.setdefault((pattern, str(hook.shape)), []).append(hook)
    named: dict[str, Hook] = {}
    for (pattern, _), members in groups.items():
        name = pattern
        for part in ("blocks", "experts"):
            numbers = sorted({int(n) for hook in members for n in re.findall(rf"{part}\.(\d+)\.", hook.name)})
            name = name.replace(f"{part}.#.", f"{part}.{_ranges(numbers)}.")
        named[name] = members[0]
    return named


def _ranges(numbers: list[int]) -> str:
    """`[0, 1, 2, 5]` as "{0…2,5}"; one number as it is."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}…{run[-1]}" for run in runs]
    return parts[0] if len(numbers) == 1 else f"{{{','.join(parts)}}}"
