"""Which kind of disk a journal lies on: SQLite's write-ahead log needs memory that all its users share."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    (
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "fhgfs", "fuse"),
        *("gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs"),
        *("prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs"),
    )
)


def file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system under `path`, as Linux names it; None where nothing tells."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "cifs" if str(path).startswith("\\\\") else None
    place = path.resolve()
    found, depth = None, -1
    for line in lines:
        _, mounted, kind, *_ = (*line.split(" "), "", "", "")
        point = Path(_unescaped(mounted))
        # The later of two mounts on one point hides the earlier.
        if mounted and place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def is_network(kind: str | None) -> bool:
    """Whether a file system of this type is, or may be, shared with other machines."""
    return kind is not None and (kind in NETWORK or kind.startswith("fuse."))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
