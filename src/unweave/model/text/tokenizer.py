"""One face for the tokenizers that there are: Hugging Face's interface, and `tokenizers.Tokenizer`.

Nothing here imports either package: what a tokenizer can do is asked of the object itself, each time
anew, since its owner may change it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from unweave.core.errors import InputError

Side = Literal["left", "right"]
Special = Literal["bos", "eos", "pad", "unk"]
WRAP_IT = "wrap it: transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, ...)"


class AnyTokenizer(ABC):
    """A tokenizer, read and never changed."""

    @abstractmethod
    def encode(self, texts: Sequence[str], added: bool) -> list[list[int]]:
        """Each text's tokens; with what the tokenizer adds by itself if `added`."""

    @abstractmethod
    def decode(self, tokens: Sequence[int], skip_special: bool = False) -> str:
        """The text of these tokens."""

    @abstractmethod
    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Each token as it stands in the vocabulary, such as "Ġcat", "▁cat" or "<0xE2>"."""

    @abstractmethod
    def special(self, name: Special) -> int | None:
        """This special token, or None if the tokenizer names none."""

    @abstractmethod
    def size(self, added: bool = True) -> int | None:
        """One more than its largest token; `added=False` leaves out those added to its vocabulary. None: unknown."""

    @abstractmethod
    def side(self, what: Literal["padding", "truncation"]) -> Side:
        """Where it pads, or cuts."""

    @abstractmethod
    def render(self, messages: Any, options: Mapping[str, Any]) -> str:
        """A chat as the text that its template makes of it."""

    def surroundings(self) -> tuple[list[int], list[int]]:
        """What the tokenizer by itself puts before a text, and behind it.

        Raises:
            InputError: if that cannot be told.
        """
        for probe in ("a", "the", "0"):
            [bare], [whole] = self.encode([probe], added=False), self.encode([probe], added=True)
            if whole == bare:
                return [], []
            for start in range(len(whole) - len(bare) + 1 if bare else 0):
                if whole[start : start + len(bare)] == bare:
                    return whole[:start], whole[start + len(bare) :]
        raise InputError(
            wanted="a tokenizer that adds its special tokens around a text, and changes nothing in it",
            got="one that makes other tokens of a text with add_special_tokens=True",
            remedy="write the special tokens into the text, and pass prepend_bos=False",
        )


class HuggingFaceTokenizer(AnyTokenizer):
    """An object with the interface of the tokenizers of `transformers`."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str], added: bool) -> list[list[int]]:  # noqa: D102
        encoded = self.tokenizer(list(texts), add_special_tokens=added)["input_ids"]
        return [[int(token) for token in tokens] for tokens in encoded]

    def decode(self, tokens: Sequence[int], skip_special: bool = False) -> str:  # noqa: D102
        # Cleaning up would take away spaces, so that a text could not be told from its tokens.
        kept = {"clean_up_tokenization_spaces": False}
        how = kept if hasattr(self.tokenizer, "clean_up_tokenization_spaces") else {}
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=skip_special, **how))

    def pieces(self, tokens: Sequence[int]) -> list[str]:  # noqa: D102
        return [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(list(tokens))]

    def special(self, name: Special) -> int | None:  # noqa: D102
        return getattr(self.tokenizer, f"{name}_token_id", None)

    def size(self, added: bool = True) -> int | None:  # noqa: D102
        if not callable(getattr(self.tokenizer, "get_vocab", None)):
            return None
        tokens = set(self.tokenizer.get_vocab().values())
        if not added and callable(getattr(self.tokenizer, "get_added_vocab", None)):
            tokens -= set(self.tokenizer.get_added_vocab().values())
        return max(tokens, default=-1) + 1

    def side(self, what: Literal["padding", "truncation"]) -> Side:  # noqa: D102
        return getattr(self.tokenizer, f"{what}_side", None) or "right"

    def render(self, messages: Any, options: Mapping[str, Any]) -> str:  # noqa: D102
        if not getattr(self.tokenizer, "chat_template", None):
            raise InputError(
                wanted="a tokenizer with a chat template, for messages",
                got="one without",
                remedy="set tokenizer.chat_template, or write the text yourself",
            )
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **options))


class PlainTokenizer(AnyTokenizer):
    """A `tokenizers.Tokenizer`: it knows no BOS or EOS by name, only what its post-processor adds."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[str], added: bool) -> list[list[int]]:  # noqa: D102
        with self._as_they_are():
            found = self.tokenizer.encode_batch(list(texts), add_special_tokens=added)
        return [list(encoding.ids) for encoding in found]

    def decode(self, tokens: Sequence[int], skip_special: bool = False) -> str:  # noqa: D102
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=skip_special))

    def pieces(self, tokens: Sequence[int]) -> list[str]:  # noqa: D102
        return [str(self.tokenizer.id_to_token(token)) for token in tokens]

    def special(self, name: Special) -> int | None:  # noqa: D102
        padding = self.tokenizer.padding or {}
        return padding.get("pad_id") if name == "pad" else None

    def size(self, added: bool = True) -> int | None:  # noqa: D102
        # With with_added_tokens=False it still names those that are in the model's own vocabulary too.
        return max(self.tokenizer.get_vocab(with_added_tokens=added).values(), default=-1) + 1

    def side(self, what: Literal["padding", "truncation"]) -> Side:  # noqa: D102
        return (getattr(self.tokenizer, what) or {}).get("direction") or "right"

    def render(self, messages: Any, options: Mapping[str, Any]) -> str:  # noqa: D102
        raise InputError(
            wanted="a tokenizer with a chat template, for messages",
            got="a tokenizers.Tokenizer, which has none",
            remedy=WRAP_IT,
        )

    @contextmanager
    def _as_they_are(self) -> Generator[None]:
        """Within the block texts are neither padded nor cut."""
        padding, truncation = self.tokenizer.padding, self.tokenizer.truncation
        try:
            self.tokenizer.no_padding()
            self.tokenizer.no_truncation()
            yield
        finally:
            if padding is not None:
                self.tokenizer.enable_padding(**padding)
            if truncation is not None:
                self.tokenizer.enable_truncation(**truncation)


def as_tokenizer(tokenizer: Any) -> AnyTokenizer:
    """`tokenizer`, to be read through one face.

    Raises:
        InputError: if it has neither interface.
    """
    if isinstance(tokenizer, AnyTokenizer):
        return tokenizer
    if callable(getattr(tokenizer, "encode_batch", None)) and hasattr(tokenizer, "post_processor"):
        return PlainTokenizer(tokenizer)
    if callable(tokenizer) and callable(getattr(tokenizer, "decode", None)):
        return HuggingFaceTokenizer(tokenizer)
    raise InputError(
        wanted="a tokenizer with the interface of Hugging Face's: tokenizer(texts), tokenizer.decode(tokens)",
        got=type(tokenizer).__name__,
        remedy="load one, as by unweave.pretrained.tokenizers.load_tokenizer(NAME_OR_FOLDER)",
    )
