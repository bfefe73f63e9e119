"""A plotly figure as JSON inside a page: rounded, deterministic, and safe within a script."""

from __future__ import annotations

import base64
import json
import math
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from numpy.typing import NDArray

DIGITS: Final = 6  # significant; float32 results hold about seven


def figure_json(figure: go.Figure) -> Markup:
    """The figure's data and layout as JSON that may stand in a <script> element.

    Floats are rounded to six significant digits, and NaN becomes null, which plotly draws as a
    gap. The title is left to the page, which wraps it; the same figure gives the same text.
    """
    spec = _simplified(figure.to_plotly_json())
    layout = spec["layout"]
    meta = layout.get("meta")
    if isinstance(meta, dict) and "title_px" in meta:
        layout.pop("title", None)
        layout["margin"]["t"] -= meta["title_px"]
        layout["height"] -= meta["title_px"]
    kept = {"data": spec["data"], "layout": layout}
    return script_json(kept)


def figure_title(figure: go.Figure) -> str:
    """The title as it was given, or "" where the figure keeps its own inside the plot."""
    meta = figure.layout.meta
    return str(meta["title"]) if isinstance(meta, dict) and "title_px" in meta else ""


def figure_width(figure: go.Figure) -> int | None:
    """The greatest width in pixels that suits the figure; None where it takes what it is given."""
    meta = figure.layout.meta
    return meta["fits"][-1]["width"] if isinstance(meta, dict) and "fits" in meta else None


def script_json(value: Any) -> Markup:
    """Compact JSON that no HTML parser can end early: <, > and & are written as \\u escapes."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def rounded(value: float) -> float | int | None:
    """`value` to six significant digits, whole numbers as int, and None unless it is finite."""
    if not math.isfinite(value):
        return None
    if value == int(value) and abs(value) < 2**53:
        return int(value)
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short == int(short) and abs(short) < 2**53 else short


def _simplified(value: Any) -> Any:
    """`value` with arrays as nested lists and every number rounded."""
    if isinstance(value, dict):
        if set(value) >= {"dtype", "bdata"}:
            return _simplified(_array(value))
        return {str(key): _simplified(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _simplified(value.tolist())
    if isinstance(value, list | tuple):
        return [_simplified(one) for one in value]
    if isinstance(value, float):
        return rounded(value)
    return value


def _array(packed: dict[str, Any]) -> NDArray[np.generic]:
    """The array that plotly packed as base64 with its type and shape."""
    flat = np.frombuffer(base64.b64decode(packed["bdata"]), dtype=np.dtype(packed["dtype"]))
    if "shape" not in packed:
        return flat
    return flat.reshape([int(length) for length in str(packed["shape"]).split(",")])
