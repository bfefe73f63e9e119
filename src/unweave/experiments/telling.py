"""What an experiment found, for those who listen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


def told(results: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values, as `unweave.core.events` has them, from what the page is made of."""
    claims = [
        {name: claim.get(name) for name in ("id", "statement", "verdict", "reason")}
        for claim in results["claims"]
    ]
    verdicts = Counter(str(claim["verdict"]) for claim in claims)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    return {
        "text": f"{results['experiment']}, preset {results['preset']}: {len(claims)} claims, {counted}",
        "facts": {
            "claims": claims,
            "config": results.get("config", {}),
            "versions": results.get("versions", {}),
            "seed": results.get("seed"),
        },
    }
