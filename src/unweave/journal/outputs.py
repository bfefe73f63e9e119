"""What a step put out: how it is stored, and how it is read again."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from unweave.journal.blobs import INLINE_LIMIT, KEY, Blobs
from unweave.journal.entries import Entry
from unweave.journal.terminal_text import collapse

SORTS = ("stream", "display", "update", "result", "error", "clear")


@dataclass(frozen=True)
class Output:
    """One output of a step.

    Args:
        n: its place among the step's outputs, from 1.
        sort: "stream", "display", "update" (of an earlier display), "result", "error", or "clear" (what came
            before it was taken off the screen).
        data: the MIME bundle; of a stream, its text as "text/plain". A value above 64 KiB is a dict
            that names a blob and has its head and tail; `bundle()` reads it.
        name: of a stream, "stdout" or "stderr".
        metadata: of a bundle.
        display_id: what an update names, if the display has one.
        execution_count: of a result.
        error: of an error, its name, value and the traceback as lines, in colour as it was shown.
        time: UTC, when it came; None where it was imported without.
        monotonic_ns: of the process's own clock; None where it was imported.
        late: whether it came after its step had ended, from a thread or task left behind.
        redacted: how many secrets were taken out before it was written, by name.
    """

    n: int
    sort: str
    data: Mapping[str, Any]
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    display_id: str | None = None
    execution_count: int | None = None
    error: tuple[str, str, tuple[str, ...]] | None = None
    time: str | None = None
    monotonic_ns: int | None = None
    late: bool = False
    redacted: Mapping[str, int] = field(default_factory=dict[str, int])
    blobs: Blobs | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, entry: Entry, blobs: Blobs) -> Output:
        """What an entry of kind "output" holds; empty if it was purged."""
        body = entry.body or {"n": 0, "sort": "display", "data": {"text/plain": "[purged]"}}
        error = body.get("error")
        return cls(
            n=body["n"],
            sort=body["sort"],
            data=body.get("data", {}),
            name=body.get("name", ""),
            metadata=body.get("metadata", {}),
            display_id=body.get("display_id"),
            execution_count=body.get("execution_count"),
            error=None
            if error is None
            else (error["name"], error["value"], tuple(_lines(error["traceback"], blobs))),
            time=body.get("at", entry.time),
            monotonic_ns=body.get("monotonic_ns"),
            late=body.get("late", False),
            redacted=body.get("redacted", {}),
            blobs=blobs,
        )

    @property
    def text(self) -> str:
        """Its plain text; of one above the cap, head and tail with what is between them counted."""
        if self.error is not None:
            return "\n".join(self.error[2])
        value = self.data.get("text/plain", "")
        return shortened(value) if isinstance(value, Mapping) else str(value)

    @property
    def spilled(self) -> bool:
        """Whether a part of it lies in a blob."""
        return any(isinstance(value, Mapping) and KEY in value for value in self.data.values())

    def bundle(self) -> dict[str, Any]:
        """The whole MIME bundle, blobs read.

        Raises:
            InputError: if a blob is not there.
            JournalDamaged: if one is damaged.
        """
        return {mime: whole(value, self.blobs) for mime, value in self.data.items()}


def stored(data: Mapping[str, Any], blobs: Blobs, limit: int = INLINE_LIMIT) -> dict[str, Any]:
    """A MIME bundle for an entry's body: values above `limit` bytes are put into blobs."""
    return {mime: stored_value(mime, value, blobs, limit) for mime, value in data.items()}


def stored_value(mime: str, value: Any, blobs: Blobs, limit: int = INLINE_LIMIT) -> Any:
    """One value of a bundle, or what names its blob."""
    if isinstance(value, str):
        if len(value) * 4 <= limit:
            return value
        raw, how = value.encode("utf-8", "surrogatepass"), "text"
        if len(raw) <= limit:
            return value
        picture = _picture(mime, value)
        if picture is not None:
            raw, how = picture, "base64" if not value.endswith("\n") else "base64 line"
    else:
        raw, how = (
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass"),
            "json",
        )
        # What looks like the name of a blob is kept apart, or it would be taken for one.
        if len(raw) <= limit and not (isinstance(value, Mapping) and KEY in value):
            return value
    return {**blobs.put(raw, mime, durable=False).to_body(), "as": how}


def whole(value: Any, blobs: Blobs | None) -> Any:
    """What `stored_value` stored."""
    if not (isinstance(value, Mapping) and KEY in value):
        return value
    assert blobs is not None, "an output with blobs knows where they lie"
    raw = blobs.get(value[KEY])
    match value.get("as", "text"):
        case "json":
            return json.loads(raw)
        case "base64":
            return base64.b64encode(raw).decode()
        case "base64 line":
            return base64.b64encode(raw).decode() + "\n"
        case _:
            return raw.decode("utf-8", "surrogatepass")


def shortened(value: Mapping[str, Any]) -> str:
    """Head and tail of what lies in a blob."""
    left_out = max(0, value["size"] - len(value["head"].encode()) - len(value["tail"].encode()))
    return f"{value['head']}\n… {left_out:,} bytes more …\n{value['tail']}"


def joined(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """The outputs with parts of one stream that follow each other joined, and what was overwritten left out.

    A part that lies in a blob stays by itself.
    """
    result = list[Output]()
    for output in outputs:
        last = result[-1] if result else None
        if last is not None and _go_together(last, output):
            text = last.data["text/plain"] + output.data["text/plain"]
            counted = {name: last.redacted.get(name, 0) for name in {**last.redacted, **output.redacted}}
            for name, count in output.redacted.items():
                counted[name] += count
            result[-1] = replace(last, data={"text/plain": text}, redacted=counted)
        else:
            result.append(output)
    return tuple(_collapsed(output) for output in result)


def shown(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """What was on the screen in the end: displays as they were last updated, without what was cleared."""
    result = list[Output]()
    clear = False
    for output in outputs:
        if output.sort == "clear":
            clear = True
            # "wait" puts it off until something new comes.
            if not output.metadata.get("wait"):
                result.clear()
                clear = False
            continue
        if output.sort == "update":
            result = [
                replace(o, data=output.data, metadata=output.metadata)
                if o.sort == "display" and o.display_id is not None and o.display_id == output.display_id
                else o
                for o in result
            ]
            continue
        if clear:
            result.clear()
            clear = False
        result.append(output)
    return joined(result)


def _go_together(last: Output, output: Output) -> bool:
    return (
        last.sort == output.sort == "stream"
        and (last.name, last.late) == (output.name, output.late)
        and not last.spilled
        and not output.spilled
    )


def _collapsed(output: Output) -> Output:
    text = output.data.get("text/plain")
    if output.sort != "stream" or not isinstance(text, str):
        return output
    # Nothing stands before it that a return at its beginning could go back over.
    return replace(output, data={"text/plain": collapse(text).lstrip("\r")})


def _lines(value: Any, blobs: Blobs) -> list[str]:
    return [str(line) for line in cast(list[Any], whole(value, blobs))]


def _picture(mime: str, value: str) -> bytes | None:
    """The bytes of a picture in base64, if it can be had again to the letter."""
    if not mime.startswith(("image/", "audio/", "video/")) or mime.endswith("xml"):
        return None
    try:
        raw = base64.b64decode(value, validate=False)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == value.removesuffix("\n") else None
