"""One token: that of a text, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence

from unweave.core.errors import InputError
from unweave.model.text.tokenizer import AnyTokenizer


def token_of(tokenizer: AnyTokenizer, string: str) -> int:
    """The token that is this text, alone.

    Raises:
        InputError: if it is more than one, or none; it names those it is made of, and near ones.
    """
    [found] = tokenizer.encode([string], added=False)
    if len(found) == 1:
        return found[0]
    parts = [tokenizer.decode([token]) for token in found]
    close = [repr(text) for text in _varied(string) if len(tokenizer.encode([text], added=False)[0]) == 1]
    raise InputError(
        wanted=f"a text that is a single token, not {string!r}",
        got=f"{len(found)} tokens: {parts}" if found else "no token",
        remedy=f"single tokens near it: {', '.join(close)}"
        if close
        else "to_tokens takes texts of any length",
    )


def position_of(tokenizer: AnyTokenizer, token: int, row: Sequence[int], mode: str) -> int:
    """The first or last place of `token` in `row`.

    Raises:
        InputError: if it does not stand there, or for another mode.
    """
    if mode not in ("first", "last"):
        raise InputError(wanted="mode 'first' or 'last'", got=repr(mode), remedy="leave it out for the first")
    places = [place for place, other in enumerate(row) if other == token]
    if not places:
        shown = [tokenizer.decode([other]) for other in row[:12]]
        raise InputError(
            wanted=f"a sequence that holds {tokenizer.decode([token])!r}, token {token}",
            got=f"{shown}" + (" and so on" if len(row) > len(shown) else ""),
            remedy="mind the space in front of a word, and capitals: they make another token",
        )
    return places[0] if mode == "first" else places[-1]


def _varied(string: str) -> list[str]:
    bare = string.strip()
    forms = [bare, " " + bare, bare.lower(), " " + bare.lower(), bare.capitalize(), " " + bare.capitalize()]
    return [form for form in dict.fromkeys(forms) if form != string and form.strip()]
