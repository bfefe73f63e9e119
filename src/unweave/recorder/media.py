"""Recordings made elsewhere: a video or a voice, which stays where it is and is known again by its hash."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError


def described(path: Path) -> dict[str, Any]:
    """What a journal keeps of a recording: "media", "sha256", "size", "mime".

    Raises:
        InputError: if it is not there, or neither video nor sound.
    """
    mime = mimetypes.guess_type(path.name)[0] or ""
    if not path.is_file():
        raise InputError(
            wanted="the file of a video or voice recording",
            got=f"{path}, which is not there",
            remedy="name it",
        )
    if not mime.startswith(("video/", "audio/")):
        raise InputError(
            wanted="a video or voice recording",
            got=f"{path.name}, {mime or 'of unknown type'}",
            remedy="name an mp4, webm, mp3 or wav",
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"media": path.absolute(), "sha256": digest, "size": path.stat().st_size, "mime": mime}
