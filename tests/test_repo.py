"""What is committed makes sense on any machine."""

from __future__ import annotations

import re

from tests.repository import ROOT, committed_files

# A path into someone's machine: /home/…, /root/…, /Users/…; not the middle of a longer path or address.
MACHINE_PATH = re.compile(rb"(?<![\w.~/-])/(?:home|root|Users|work)/[\w.]")


def test_no_file_names_a_path_of_one_machine():
    offenders = {
        str(path.relative_to(ROOT)): match[0]
        for path in committed_files()
        if path.suffix not in {".png", ".safetensors"} and (match := MACHINE_PATH.search(path.read_bytes()))
    }
    assert offenders == {}


def test_the_pattern_finds_what_it_should():
    assert MACHINE_PATH.search(b'path = "' + b"/" + b'home/ada/unweave"')
    assert not MACHINE_PATH.search(b"https://example.org/" + b"home/page and src/work/thing")


def test_no_file_is_large():
    large = {
        str(path.relative_to(ROOT)): size
        for path in committed_files()
        if (size := path.stat().st_size) > 3_000_000
    }
    assert large == {}
