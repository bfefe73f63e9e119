"""CircuitsVis' names over Unweave's viewers, for notebooks that import `circuitsvis`.

`import unweave.compat.circuitsvis as cv`, or `install()` once and `import circuitsvis as cv` as before.
`attention_patterns`, `attention_heads`, `attention_pattern`, `colored_tokens`, `colored_tokens_multi` and
`token_log_probs` are here. Colours are Unweave's own.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

from unweave.compat.circuitsvis import attention, logits, tokens
from unweave.core.errors import InputError

__all__ = ["attention", "install", "logits", "tokens", "uninstall"]

_NAME = "circuitsvis"
_PARTS = ("attention", "logits", "tokens")


def install() -> None:
    """From here on `import circuitsvis` gives these modules; a second call does nothing.

    Raises:
        InputError: if the real package is installed or imported already: it stays what is imported.
    """
    here = sys.modules[__name__]
    if sys.modules.get(_NAME) is here:
        return
    if _NAME in sys.modules or find_spec(_NAME) is not None:
        raise InputError(
            wanted=f"a process without the real {_NAME}",
            got="one where it is installed",
            remedy=f"import {__name__} as cv for Unweave's viewers, or uninstall the package",
        )
    sys.modules[_NAME] = here
    for part in _PARTS:
        sys.modules[f"{_NAME}.{part}"] = sys.modules[f"{__name__}.{part}"]


def uninstall() -> None:
    """Undo `install`; without it, nothing."""
    if sys.modules.get(_NAME) is sys.modules[__name__]:
        for name in (_NAME, *(f"{_NAME}.{part}" for part in _PARTS)):
            sys.modules.pop(name, None)
