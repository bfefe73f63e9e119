"""Secrets, taken out of text before it is written anywhere.

Two sorts are known: the values of environment variables whose names look secret, in every form in
which programs print them, and the shapes that well-known tokens have. What replaces one names it:
`[redacted HF_TOKEN]`.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
import string
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

SHORTEST = 6  # a value of fewer signs is not looked for: it would be found everywhere
_WORDS = frozenset(
    ("true", "false", "none", "null", "default", "enabled", "disabled", "required", "optional")
)
_SECRET_PARTS = frozenset(
    (
        *(
            "KEY",
            "TOKEN",
            "SECRET",
            "PASSWORD",
            "PASSWD",
            "PASSPHRASE",
            "PASS",
            "PWD",
            "CREDENTIAL",
            "CREDENTIALS",
        ),
        *("KEYS", "TOKENS", "SECRETS", "PASSWORDS", "PASSWDS", "AUTH", "COOKIE", "APIKEY", "PAT", "DSN"),
    )
)
_SECRET_ENDS = (
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "APIKEY",
    "ACCESSKEY",
    "SECRETKEY",
    "PRIVATEKEY",
)
_NOT_SECRET = frozenset(("PWD", "OLDPWD", "SSH_AUTH_SOCK", "GPG_KEY", "TERM_SESSION_ID"))

# Name, what each one has in it (looked for first: cheap), and its shape.
_SHAPES: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (name, starts, re.compile(shape, re.DOTALL))
    for name, starts, shape in (
        (
            "private key",
            ("-----BEGIN ",),
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        ),
        ("GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{30,255}"),
        ("GitHub token", ("github_pat_",), r"github_pat_[A-Za-z0-9_]{22,255}"),
        ("GitLab token", ("glpat-",), r"glpat-[A-Za-z0-9_-]{20,}"),
        ("Hugging Face token", ("hf_", "api_org_"), r"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{30,}"),
        ("API key", ("sk-",), r"(?<![A-Za-z0-9])sk-(?:[a-z0-9]+-)*[A-Za-z0-9_-]{20,}"),
        ("AWS access key", ("AKIA", "ASIA"), r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("Slack token", ("xox",), r"xox[abeoprs]-(?:[A-Za-z0-9]+-)*[A-Za-z0-9]{8,}"),
        (
            "Slack webhook",
            ("hooks.slack.com/",),
            r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{20,}",
        ),
        ("Google API key", ("AIza",), r"AIza[A-Za-z0-9_-]{35}"),
        ("Google OAuth token", ("ya29.",), r"ya29\.[A-Za-z0-9_-]{20,}"),
        (
            "Stripe key",
            ("sk_live_", "sk_test_", "rk_live_", "rk_test_"),
            r"(?<![A-Za-z0-9])[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
        ),
        ("PyPI token", ("pypi-",), r"pypi-[A-Za-z0-9_-]{50,}"),
        ("npm token", ("npm_",), r"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}"),
        ("SendGrid key", ("SG.",), r"(?<![A-Za-z0-9])SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
        ("Replicate token", ("r8_",), r"(?<![A-Za-z0-9_])r8_[A-Za-z0-9]{30,}"),
        ("Groq key", ("gsk_",), r"(?<![A-Za-z0-9_])gsk_[A-Za-z0-9]{30,}"),
        ("JSON web token", ("eyJ",), r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
        ("bearer token", ("earer ",), r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{16,}=*"),
        ("password in an address", ("://",), r"(?<=://)[^\s/:@\"'<>]*:[^\s/@\"'<>]+(?=@)"),
    )
)
# A literal that code puts into an environment variable, or into a name that says what it is.
_ASSIGNED = re.compile(
    r"""(?:environ\s*\[\s*|environ\.setdefault\(\s*|environ\.update\(\s*|putenv\(\s*|setenv\(\s*)["']?"""
    r"""(?P<env>\w+)["']?\s*[\]=,:]?\s*=?\s*["'](?P<a>[^"'\n]+)["']"""
    r"""|(?:%\s*(?:set_)?env|\bexport)\s+(?P<line>\w+)[= ]\s*["']?(?P<b>[^"'\s;]+)"""
    r"""|(?<![A-Za-z0-9])(?P<name>\w*(?:api_?key|secret|passw(?:or)?d|passphrase|(?:auth|access|hf|bearer)_token))\b"""
    r"""["']?\s*[:=]\s*["'](?P<c>[^"'\n]+)["']""",
    re.IGNORECASE,
)
_KEY_END = re.compile(r"-----END [A-Z0-9 ]*-----")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[@-~]")
_TAG = re.compile(r"<[^<>]*>")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+=*\s*")
_WORD_SIGNS = string.ascii_letters + string.digits + "_./+=~:-"
_LONGEST_WORD = 8192


@cache
def looks_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a secret, by its parts: `HF_TOKEN` does, `TOKENIZERS_X` not."""
    upper = name.upper()
    return upper not in _NOT_SECRET and any(
        part in _SECRET_PARTS or part.endswith(_SECRET_ENDS) for part in re.split(r"[^A-Z0-9]+", upper)
    )


class Redactor:
    """Takes secrets out of text and of whatever holds text.

    Args:
        environ: the variables to look at; those of this process, each time `refresh()` is called.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._seen: dict[str, str] = {}  # variables as they were last looked at
        self._names: dict[str, str] = {}  # each value, in each of its forms, and what it is called
        self._values: re.Pattern[str] | None = None
        self._starts: tuple[str, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Look at the environment again. A value that was secret once stays so."""
        secret = {name: value for name, value in self._environ.items() if looks_secret(name)}
        if secret != self._seen:
            self._seen = secret
            for name, value in secret.items():
                self.learn(name, value)

    def learn(self, name: str, value: str) -> None:
        """Look for `value` from now on, and call it `name`; too short a one, or a plain word, is left."""
        value = value.strip()
        if len(value) < SHORTEST or value.lower() in _WORDS or value in self._names:
            return
        # A new dict: another thread may be looking through the old one.
        self._names = {**dict.fromkeys(_forms(value), name), **self._names}
        ordered = sorted(self._names, key=len, reverse=True)  # the longest first: one may hold another
        self._values = re.compile("|".join(map(re.escape, ordered)))
        self._starts = tuple(ordered)

    def learn_from(self, code: str) -> None:
        """Learn the literals that code puts into secret variables, before that code runs."""
        for found in _ASSIGNED.finditer(code):
            name = found["env"] or found["line"] or found["name"]
            value = found["a"] or found["b"] or found["c"]
            if found["name"] or looks_secret(name):
                self.learn(name, value)

    def text(self, text: str, *, markup: bool = False, found: Counter[str] | None = None) -> str:
        """`text` without secrets, also where colours (or, in markup, tags) run through one.

        Args:
            markup: whether the text is HTML, XML or SVG.
            found: counts what was taken out, by name.
        """
        text = self._replaced(text, found)
        for skipped in (_CONTROL, *((_TAG,) if markup else ())):
            if skipped.search(text):
                text = self._replaced_across(text, skipped, found)
        return text

    def bundle(self, data: Mapping[str, Any], found: Counter[str] | None = None) -> dict[str, Any]:
        """A MIME bundle without secrets; a picture or document with one in its bytes is left out whole."""
        return {mime: self._mime(mime, value, found) for mime, value in data.items()}

    def value(self, value: Any, found: Counter[str] | None = None) -> Any:
        """JSON values without secrets, keys included."""
        if isinstance(value, str):
            return self.text(value, found=found)
        if isinstance(value, Mapping):
            return {self.text(str(key), found=found): self.value(part, found) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(part, found) for part in value]
        return value

    def open_end(self, text: str) -> int:
        """Where the end of `text` begins that may be the first part of a secret; its length if there is none."""
        if not text:
            return 0
        at = len(text)
        for value in self._starts:
            at = min(at, len(text) - _overlap(text, value))
        begun = text.rfind("-----BEGIN ")
        if begun >= 0 and not _KEY_END.search(text, begun) and _may_be_key(text[begun:]):
            at = min(at, begun)
        tail = text[-_LONGEST_WORD:]
        word = tail[len(tail.rstrip(_WORD_SIGNS)) :]
        begin = len(text) - len(word)
        for _, starts, _ in _SHAPES:
            for start in starts:
                if (inside := word.find(start)) >= 0:
                    at = min(at, begin + inside)
                else:
                    at = min(at, len(text) - _begun(text, start))
        if text[max(0, begin - 7) : begin].endswith("earer "):
            at = min(at, begin)
        return at

    def _replaced(self, text: str, found: Counter[str] | None) -> str:
        for begin, end, name in reversed([*self._spans(text)]):
            text = f"{text[:begin]}{_mark(name, found)}{text[end:]}"
        return text

    def _replaced_across(self, text: str, skipped: re.Pattern[str], found: Counter[str] | None) -> str:
        """The same, where `skipped` may stand between any two signs of a secret."""
        plain, places = list[str](), list[int]()
        at = 0
        for gap in skipped.finditer(text):
            plain.append(text[at : gap.start()])
            places.extend(range(at, gap.start()))
            at = gap.end()
        plain.append(text[at:])
        places.extend(range(at, len(text)))
        for begin, end, name in reversed([*self._spans("".join(plain))]):
            first, last = places[begin], places[end - 1] + 1
            text = (
                f"{text[:first]}{_mark(name, found)}{''.join(skipped.findall(text[first:last]))}{text[last:]}"
            )
        return text

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """What is secret: begin, end and name, in order, none in another."""
        spans = list[tuple[int, int, str]]()
        if self._values is not None:
            spans += [(m.start(), m.end(), self._names[m[0]]) for m in self._values.finditer(text)]
        for name, starts, shape in _SHAPES:
            if any(start in text for start in starts):
                spans += [
                    (m.start(), m.end(), name) for m in shape.finditer(text) if "[redacted " not in m[0]
                ]
        until, merged = 0, list[tuple[int, int, str]]()
        for begin, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
            if begin >= until:
                merged.append((begin, end, name))
            elif end > until:  # two that overlap go as one
                merged[-1] = (merged[-1][0], end, merged[-1][2])
            until = max(until, end)
        yield from merged

    def _mime(self, mime: str, value: Any, found: Counter[str] | None) -> Any:
        if not isinstance(value, str):
            return self.value(value, found)
        if _is_binary(mime) and _BASE64.fullmatch(value):
            raw = _decoded(value)
            if raw is not None:
                name = self._in_bytes(raw)
                return value if name is None else _mark(name, found)
        return self.text(value, markup=mime.endswith(("html", "xml")), found=found)

    def _in_bytes(self, raw: bytes) -> str | None:
        return next((name for value, name in self._names.items() if value.encode() in raw), None)


def _mark(name: str, found: Counter[str] | None) -> str:
    if found is not None:
        found[name] += 1
    return f"[redacted {name}]"


def _forms(value: str) -> Iterable[str]:
    """The value itself, and as JSON, Python, an address, HTML and base64 write it."""
    raw = value.encode()
    forms = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
        html.escape(value),
        html.escape(value, quote=False),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }
    return [form for form in forms if len(form) >= SHORTEST]


def _is_binary(mime: str) -> bool:
    kind = mime.partition("/")[0]
    return mime == "application/pdf" or (kind in ("image", "audio", "video") and not mime.endswith("xml"))


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return None


def _begun(text: str, start: str) -> int:
    """How many signs of `start` the text ends with, at the beginning of a word."""
    length = _overlap(text, start)
    before = text[-length - 1 : -length] if length else ""
    return 0 if before.isalnum() and start[0].isalnum() else length


def _overlap(text: str, whole: str) -> int:
    """How many of the first signs of `whole`, but not all, the text ends with."""
    at = whole.rfind(text[-1], 0, len(whole) - 1)
    while at >= 0:
        if text.endswith(whole[: at + 1]):
            return at + 1
        at = whole.rfind(text[-1], 0, at)
    return 0


def _may_be_key(text: str) -> bool:
    line = text.partition("\n")[0]
    return "PRIVATE KEY" in line or len(line) < 60
