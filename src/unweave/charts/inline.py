"""The little markup that page text may hold: **bold**, `code` and [links](https://...)."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from unweave.core.errors import InputError

_TOKEN: Final = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|\*\*(?P<bold>\S(?:.*?\S)?)\*\*"
    r"|\[(?P<label>[^\[\]\n]+)\]\((?P<target>[^()\s]+)\)"
)
_SAFE_TARGET: Final = re.compile(r"(?:https?://|mailto:|#|(?![a-z][a-z0-9+.-]*:|//))", re.IGNORECASE)


def inline(text: str) -> Markup:
    """`text` escaped, with **bold**, `code` and [links](target) as HTML; the rest as it stands.

    Nothing nests inside `code`; bold may hold code and links.

    Raises:
        InputError: a link whose target is neither http(s), mailto, an anchor, nor relative.
    """
    parts: list[Markup] = []
    at = 0
    for match in _TOKEN.finditer(text):
        parts.append(escape(text[at : match.start()]))
        parts.append(_element(match))
        at = match.end()
    parts.append(escape(text[at:]))
    return Markup("").join(parts)


def paragraphs(text: str) -> list[Markup]:
    """`text` split at blank lines, each paragraph through `inline`."""
    pieces = re.split(r"\n\s*\n", text.strip())
    return [inline(" ".join(piece.split())) for piece in pieces if piece.strip()]


def _element(match: re.Match[str]) -> Markup:
    if match["code"]:
        return Markup("<code>{}</code>").format(match["code"])
    if match["bold"]:
        return Markup("<strong>{}</strong>").format(inline(match["bold"]))
    target = match["target"]
    if not _SAFE_TARGET.match(target):
        raise InputError(
            wanted="a link to http(s), mailto, an #anchor or a relative path",
            got=repr(target),
            remedy="link to a page, or write the target as `code`",
        )
    return Markup('<a href="{}">{}</a>').format(target, inline(match["label"]))
