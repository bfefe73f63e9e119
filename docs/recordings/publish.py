"""A copy of a journal in which some words are replaced, as the paths of the machine that recorded it.

`python docs/recordings/publish.py FROM TO OLD=NEW ...`: entries keep their ids, times and order; the chain is made anew, since
the words are part of it, and a note at the end says what was replaced.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from unweave.journal import Journal, Note
from unweave.journal.entries import GENESIS, canonical, chained, salted
from unweave.journal.projections import project
from unweave.journal.rows import parsed, row_of


def publish(source: Path, target: Path, words: dict[str, str]) -> None:
    """Write the copy.

    Args:
        words: what is replaced, and by what; what is replaced by nothing is not named in the note.
    """
    target.unlink(missing_ok=True)
    with Journal.open(source, read_only=True) as old, Journal.open(target, create=True, safe=True) as new:
        previous = GENESIS
        with new.transaction() as connection:
            for entry in old.entries():
                assert entry.body is not None, "a purged entry has no words to replace"
                text = canonical(entry.body)
                for word, by in words.items():
                    text = text.replace(word, by)
                salt = os.urandom(16)
                digest = salted(salt, text)
                about = (entry.seq, entry.id, entry.kind, entry.session, entry.about, entry.time, digest)
                hashed = chained(*about, previous)
                made = replace(entry, body=parsed(text), body_sha256=digest, previous=previous, hash=hashed)
                connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row_of(made))
                connection.execute("INSERT INTO bodies VALUES (?, ?, ?)", (made.seq, salt, text))
                project(connection, made)
                previous = hashed
        kept = ", ".join(filter(None, words.values()))
        new.add(Note(f"A copy for publication: {kept} stand for paths of the machine that recorded it."))


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]), dict(pair.split("=", 1) for pair in sys.argv[3:]))
