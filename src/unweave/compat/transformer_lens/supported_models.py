"""Names of pretrained models: those of 3.9 that Unweave knows by name. Any other hub id of a family it reads opens as well."""

from __future__ import annotations

from unweave.compat.native_names import NATIVE
from unweave.pretrained.names import ALIASES

_PLAIN = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2")


def _aliases() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in _PLAIN}
    for alias, official in ALIASES.items():
        found.setdefault(official, []).append(alias)
    return dict(sorted((found | NATIVE).items(), key=lambda item: item[0].lower()))


# By hub id: its short names. Capitals do not count.
MODEL_ALIASES = {official: aliases for official, aliases in _aliases().items() if aliases}
OFFICIAL_MODEL_NAMES = list(_aliases())
DEFAULT_MODEL_ALIASES = [MODEL_ALIASES.get(name, [name])[0] for name in OFFICIAL_MODEL_NAMES]
