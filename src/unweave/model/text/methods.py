"""The methods of a HookedTransformer that take text, or give it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from jaxtyping import Bool, Int
from torch import Generator, Tensor

from unweave.core.errors import InputError
from unweave.core.registry import reach
from unweave.model.kv_cache import KeyValueCache
from unweave.model.stacked import StackedWeights
from unweave.model.text import single
from unweave.model.text.encoding import Encoded, encode
from unweave.model.text.inputs import Numbers, as_texts, holds_chats, is_text, rows_of
from unweave.model.text.padding import padding_found
from unweave.model.text.prompt_result import PromptTest
from unweave.model.text.tokenizer import AnyTokenizer, Side, as_tokenizer
from unweave.model.text.vocabulary import require_fit


class TextMethods(StackedWeights):
    """Text in and out, under TransformerLens' names.

    A tokenizer is only read: what it lacks is made up for here, and it stays as its owner made it.

    Attributes:
        tokenizer: with the interface of Hugging Face's tokenizers, or a `tokenizers.Tokenizer`; or None.
        default_padding_side: "left" or "right"; None is the tokenizer's own.

    Most methods take `prepend_bos` and `padding_side`: None is the default, which are
    `cfg.default_prepend_bos` and `default_padding_side`. With `prepend_bos` a text gets what the tokenizer
    puts around it by itself, and BOS at least (EOS in its stead where there is no BOS); without it gets
    nothing. A text that begins with BOS gets no second one.
    """

    tokenizer: Any = None
    default_padding_side: Side | None = None

    def set_tokenizer(self, tokenizer: Any, default_padding_side: str | None = None) -> None:
        """Let this model read and write text with `tokenizer`.

        Args:
            tokenizer: an object with the interface of Hugging Face's tokenizers, a
                `tokenizers.Tokenizer`, or the name or folder of one to load.
            default_padding_side: "left" or "right"; None is the tokenizer's own.

        Raises:
            InputError: if it has neither interface, or cannot be loaded; if its tokens go beyond
                d_vocab. Of tokens added to its vocabulary that do, it is only logged: no text may need them.
        """
        side = _side(default_padding_side)
        tokenizer = reach("load_tokenizer")(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
        self.require_fit(as_tokenizer(tokenizer))
        before, _ = as_tokenizer(tokenizer).surroundings()
        self.tokenizer, self.default_padding_side = tokenizer, side
        self.cfg.tokenizer_prepends_bos = bool(before)

    def require_fit(self, tokenizer: AnyTokenizer) -> None:
        """Raise InputError for a tokenizer with tokens beyond d_vocab."""
        require_fit(tokenizer, self.cfg.d_vocab)

    def to_tokens(
        self,
        input: Any,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        move_to_device: bool = True,
        truncate: bool = True,
        *,
        add_generation_prompt: bool = False,
    ) -> Int[Tensor, "batch pos"]:
        """The tokens of a text, `[1, pos]`, or of several, padded to one length.

        Args:
            input: a text or a list of them; or a chat, which is a list of messages
                `{"role": ..., "content": ...}`, or a list of chats. A chat is written out by the
                tokenizer's template, to which `prepend_bos=None` adds nothing.
            prepend_bos: pass False for a part of a longer prompt.
            move_to_device: put them where the model's embedding is.
            truncate: cut at n_ctx, on the tokenizer's truncation side, and log a warning; False cuts nothing.
            add_generation_prompt: end a chat where the answer begins.

        Raises:
            InputError: if there is no tokenizer, or it lacks a token or template that is needed.
        """
        most = self.cfg.n_ctx if truncate else None
        found = self.encoded(
            input, prepend_bos, padding_side, most=most, add_generation_prompt=add_generation_prompt
        )
        return found.tokens.to(self.W_E.device) if move_to_device else found.tokens

    def to_string(self, tokens: Numbers) -> str | list[str]:
        """The text of tokens: one, of a number or `[pos]`; a list of them, of `[batch, pos]`.

        Args:
            tokens: a tensor, an array, a list of numbers, or a list of any of these.

        Raises:
            InputError: if there is no tokenizer, or these are not tokens.
        """
        rows, nested = rows_of(tokens)
        texts = [self.known_tokenizer().decode(row) for row in rows]
        return texts if nested else texts[0]

    def to_str_tokens(
        self, input: Any, prepend_bos: bool | None = None, padding_side: str | None = None
    ) -> list[str] | list[list[str]]:
        """Each token as a text of its own; a list of lists of them, of a list of texts or of sequences.

        A token that is but a part of a character reads "�", and decoders of some families take away a
        space in front: `to_pieces` shows tokens as the vocabulary has them.

        Args:
            input: a text, or tokens: a tensor or array `[pos]` or `[1, pos]`, or a list of numbers.

        Raises:
            InputError: if there is no tokenizer, or for a batch in one tensor: pass `list(tokens)`.
        """
        if isinstance(input, list | tuple) and not (input and isinstance(input[0], int)):
            each = [self.to_str_tokens(one, prepend_bos, padding_side) for one in input]
            return each  # pyright: ignore[reportReturnType]
        decode = self.known_tokenizer().decode
        return [decode([token]) for token in self._one_row(input, prepend_bos, padding_side)]

    def to_pieces(self, input: Any, prepend_bos: bool | None = None) -> list[str]:
        """Each token as it stands in the vocabulary, such as "Ġcat", "▁cat" or "<0xE2>".

        Args:
            input: a text, or the tokens of one sequence.
        """
        return self.known_tokenizer().pieces(self._one_row(input, prepend_bos, None))

    def to_single_token(self, string: str) -> int:
        """The token that is this text, alone.

        Raises:
            InputError: if it is more than one, or none; it names those it is made of, and near ones.
        """
        return single.token_of(self.known_tokenizer(), string)

    def to_single_str_token(self, int_token: int) -> str:
        """The text of one token."""
        return self.known_tokenizer().decode([int(int_token)])

    def get_token_position(
        self,
        single_token: str | int | Tensor,
        input: Any,
        mode: str = "first",
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
    ) -> int:
        """Where a token stands in a text or sequence: the first place, or the last.

        Args:
            single_token: the token, or its text.
            input: a text, or tokens `[pos]` or `[1, pos]`.
            mode: "first" or "last".

        Raises:
            InputError: if it does not stand there, for another mode, or for a text of several tokens.
        """
        token = self.to_single_token(single_token) if isinstance(single_token, str) else int(single_token)
        row = self._one_row(input, prepend_bos, padding_side)
        return single.position_of(self.known_tokenizer(), token, row, mode)

    def chat_to_string(self, messages: Any, add_generation_prompt: bool = False, **options: Any) -> str:
        """A chat as the tokenizer's template writes it out.

        Args:
            messages: `{"role": ..., "content": ...}`, one after another.
            add_generation_prompt: end where the answer begins.
            options: what else the template takes, such as `tools`.

        Raises:
            InputError: if the tokenizer has no template.
        """
        options["add_generation_prompt"] = add_generation_prompt
        return self.known_tokenizer().render(messages, options)

    def test_prompt(
        self,
        prompt: Any,
        answer: str | list[str],
        prepend_space_to_answer: bool = True,
        print_details: bool = True,
        prepend_bos: bool | None = None,
        top_k: int = 10,
    ) -> PromptTest:
        """The rank and probability of each token of an answer; see `unweave.model.text.prompts.test_prompt`."""
        from unweave.model.text.prompts import test_prompt

        return test_prompt(prompt, answer, self, prepend_space_to_answer, print_details, prepend_bos, top_k)

    def generate(
        self,
        input: Any = "",
        max_new_tokens: int = 10,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        *args: Any,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        return_type: str = "input",
        **kwargs: Any,
    ) -> Any:
        """Texts, chats or tokens, continued; see `unweave.model.generate.generate` for the other arguments.

        Several texts are padded on the left. What the tokenizer adds behind a text is left out, and a chat
        ends where the answer begins.

        Args:
            eos_token_id: None is the tokenizer's.
            return_type: "str", "tokens", or "input", which is what the input was.

        Returns:
            Tokens `[batch, longer]`, or text without special tokens: a str for one text, chat or sequence,
            a list for a list, with the input before what is new.

        Raises:
            InputError: for an argument that cannot be honoured.
        """
        from unweave.model.text.generation import Reply, generate

        reply = Reply(input, return_type, prepend_bos, padding_side)
        model: Any = self
        return generate(model, reply, max_new_tokens, stop_at_eos, eos_token_id, *args, **kwargs)

    def generate_stream(
        self,
        input: Any = "",
        max_new_tokens: int = 10,
        max_tokens_per_yield: int = 25,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: int | float | None = None,
        temperature: int | float = 1.0,
        freq_penalty: int | float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        return_type: str = "tokens",
        verbose: bool = False,
        *,
        attention_mask: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Iterator[Int[Tensor, "batch new"]]:
        """What `generate` gives, in batches of tokens while it grows: together they are the whole.

        Args:
            max_tokens_per_yield: give a batch as soon as there are so many tokens; those of the input,
                with which the first batch begins, count.
            return_type: "tokens"; also for text, as in TransformerLens.
            verbose: a progress bar, where there is a terminal.

        Raises:
            InputError: at once, for an argument that cannot be honoured.
        """
        from unweave.model.sampling import Sampler
        from unweave.model.text.generation import Reply, generate_stream

        sampler = Sampler(do_sample, top_k, top_p, temperature, freq_penalty, generator)
        reply = Reply(input, return_type, prepend_bos, padding_side)
        model: Any = self
        stop = (stop_at_eos, eos_token_id)
        return generate_stream(
            model,
            reply,
            max_new_tokens,
            max_tokens_per_yield,
            *stop,
            sampler,
            use_past_kv_cache,
            attention_mask,
            verbose,
        )

    def read(
        self,
        input: Any,
        attention_mask: Tensor | None = None,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        past_kv_cache: KeyValueCache | None = None,
    ) -> tuple[Any, Tensor | None]:
        """What a run reads of `input`: tokens, and which of them are not padding.

        Text becomes tokens; after a cache, without BOS by default. Of tokens it is found which are
        padding, by `unweave.model.text.padding.padding_found`, if there is a tokenizer and no mask.
        """
        begun = past_kv_cache is not None and past_kv_cache.length > 0
        if not is_text(input):
            if self.tokenizer is None or attention_mask is not None or begun:
                return input, attention_mask
            return input, self.attended(input, prepend_bos, padding_side)
        prepend_bos = False if begun and prepend_bos is None else prepend_bos
        found = self.encoded(input, prepend_bos, padding_side, most=self.cfg.n_ctx)
        if not found.attended.any(1).all():
            raise InputError(
                wanted="texts of at least one token",
                got="an empty one, without BOS",
                remedy="leave it out, or pass prepend_bos=True",
            )
        padded = not bool(found.attended.all())
        return found.tokens, found.attended if padded and attention_mask is None else attention_mask

    def known_tokenizer(self) -> AnyTokenizer:
        """The tokenizer through one face, whichever interface it has.

        Raises:
            InputError: if there is none.
        """
        if self.tokenizer is None:
            named = f"'{self.cfg.tokenizer_name}'" if self.cfg.tokenizer_name else "NAME_OR_FOLDER"
            raise InputError(
                wanted="a model with a tokenizer, to read or write text",
                got="one without",
                remedy=f"call model.set_tokenizer({named}), or pass tokens",
            )
        return as_tokenizer(self.tokenizer)

    def encoded(
        self,
        input: Any,
        prepend_bos: bool | None,
        padding_side: str | None,
        *,
        most: int | None = None,
        add_generation_prompt: bool = False,
        as_added: bool = True,
    ) -> Encoded:
        """The tokens of a text or several, and which of them are padding; see `to_tokens`.

        Args:
            most: how many tokens at most; None is any number.
            as_added: False leaves out what the tokenizer adds behind a text.
        """
        tokenizer = self.known_tokenizer()
        texts = as_texts(input, lambda messages: self.chat_to_string(messages, add_generation_prompt))
        # A template writes all that belongs around a chat.
        chats = holds_chats(input)
        default = self.cfg.default_prepend_bos and not chats
        bos = default if prepend_bos is None else prepend_bos
        return encode(tokenizer, texts, bos, self._padding_side(padding_side), most, as_added and not chats)

    def _padding_side(self, asked: str | None) -> Side:
        return _side(asked) or self.default_padding_side or self.known_tokenizer().side("padding")

    def attended(
        self, tokens: Any, prepend_bos: bool | None, padding_side: str | None
    ) -> Bool[Tensor, "batch pos"] | None:
        """Which tokens of a tensor are not padding; see `unweave.model.text.padding.padding_found`."""
        if self.tokenizer is None or not isinstance(tokens, Tensor) or tokens.ndim != 2:
            return None
        bos = self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
        return padding_found(tokens, self.known_tokenizer(), self._padding_side(padding_side), bos)

    def _one_row(self, input: Any, prepend_bos: bool | None, padding_side: str | None) -> list[int]:
        tokens = (
            self.to_tokens(input, prepend_bos, padding_side, move_to_device=False)
            if isinstance(input, str)
            else input
        )
        rows, _ = rows_of(tokens)
        if len(rows) != 1:
            raise InputError(
                wanted="the tokens of one sequence, [pos] or [1, pos]",
                got=f"{len(rows)} sequences",
                remedy="pass one of them, or list(tokens) where a list of results is wanted",
            )
        return rows[0]


def _side(side: str | None) -> Side | None:
    if side not in (None, *get_args(Side)):
        raise InputError(
            wanted="padding_side 'left' or 'right'", got=repr(side), remedy="None is the tokenizer's own"
        )
    return side  # pyright: ignore[reportReturnType]
