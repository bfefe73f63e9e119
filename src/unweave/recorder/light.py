"""The light that shows whether a recording goes on: a chip under the cell in Jupyter, the prompt in a terminal."""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Colour, and what stands beside the dot: red on white is not all that tells the states apart.
_CHIPS = {
    "recording": ("#b3261e", "●", "REC"),
    "paused": ("#8a6d00", "❚❚", "PAUSED"),
    "stopped": ("#5f6368", "■", "STOPPED"),
}


def line(state: str, text: str) -> str:
    """The light as one line of text."""
    _, sign, word = _CHIPS[state]
    return f"{sign} {word} {text}"


def chip(state: str, text: str) -> str:
    """The light as HTML."""
    colour, sign, word = _CHIPS[state]
    return (
        f'<span role="status" style="display:inline-block;padding:2px 10px;border-radius:10px;background:{colour};'
        f'color:#ffffff;font:600 12px sans-serif">{sign} {word}</span> '
        f'<span style="font:12px sans-serif">{html.escape(text)}</span>'
    )


class Light:
    """Shows the state of a recording in one shell.

    Args:
        shell: IPython's.
        kernel: whether it is a Jupyter kernel's.
        name: by which the chip is found again, to change it.
    """

    def __init__(self, shell: Any, kernel: bool, name: str) -> None:
        self._shell, self._kernel, self._name = shell, kernel, f"unweave-light-{name}"
        self._prompts: Any = None
        self._shown = False

    def show(self, state: str, text: str) -> None:
        """Show the state, and one line about it, where the cell's output goes; an earlier chip changes too."""
        bundle = {"text/plain": line(state, text), "text/html": chip(state, text)}
        if self._kernel:
            if self._shown:
                self._publish(bundle, update=True)
            self._publish(bundle, update=False)
            self._shown = True
        else:
            self._shell.display_pub.publish({"text/plain": bundle["text/plain"]}, {})
            self._prompt(state)

    def _publish(self, bundle: dict[str, str], update: bool) -> None:
        self._shell.display_pub.publish(bundle, {}, transient={"display_id": self._name}, update=update)

    def _prompt(self, state: str) -> None:
        if self._prompts is None:
            self._prompts = getattr(self._shell, "prompts", None)
        if self._prompts is None:
            return
        with suppress(Exception):
            self._shell.prompts = self._prompts if state == "stopped" else _lit(self._prompts, state)


def _lit(prompts: Any, state: str) -> Any:
    """The shell's own prompts with the light before them."""
    kind: Any = type(prompts)
    mark = f"{_CHIPS[state][1]} {_CHIPS[state][2]} "

    def with_light(tokens: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def lit(self: Any, *args: Any) -> list[Any]:
            from pygments.token import Token

            found = tokens(self, *args)
            return [(Token.Generic.Error, mark), *found] if found else found

        return lit

    lit: Any = type("RecordingPrompts", (kind,), {"in_prompt_tokens": with_light(kind.in_prompt_tokens)})
    shown = lit.__new__(lit)
    shown.__dict__.update(vars(prompts))
    return shown
