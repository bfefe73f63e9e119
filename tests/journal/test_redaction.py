"""No secret passes, whatever it is wrapped in; and nothing else is taken for one."""

from __future__ import annotations

import base64
import html
import json
from collections import Counter

import pytest

from unweave.journal.redaction import Redactor, looks_secret

VALUE = 'correct"horse<battery>&staple'
# Shapes of tokens, put together here so that no scanner takes this file for a leak.
SHAPES = {
    "GitHub token": "ghp_" + "a1B2" * 9,
    "Hugging Face token": "hf_" + "aBcD" * 8 + "xy",
    "API key": "sk-" + "ant-api03-" + "Ab1_" * 10,
    "AWS access key": "AKIA" + "ABCDEFGH12345678",
    "Slack token": "xoxb" + "-123456789012-" + "abcDEF123456",
    "Google API key": "AIza" + "a" * 35,
    "JSON web token": "eyJhbGciOiJI" + ".eyJzdWIiOiIx" + ".c2lnbmF0dXJl",
    "Stripe key": "sk_" + "live_" + "a1" * 10,
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----",
    "npm token": "npm_" + "a1B2" * 9,
    "GitLab token": "glpat-" + "a1B2_" * 4,
}


@pytest.fixture
def redactor() -> Redactor:
    return Redactor(
        {"SERVICE_PASSWORD": VALUE, "HOME": "home-folder", "TOKENIZERS_PARALLELISM": "false-alarm"}
    )


@pytest.mark.parametrize("name", SHAPES)
def test_a_token_of_a_known_shape_is_taken_out(redactor: Redactor, name: str):
    found = Counter[str]()
    assert redactor.text(f"x = '{SHAPES[name]}', y", found=found) == f"x = '[redacted {name}]', y"
    assert found == {name: 1}


@pytest.mark.parametrize(
    "form",
    [
        VALUE,
        json.dumps(VALUE)[1:-1],
        repr(VALUE)[1:-1],
        html.escape(VALUE),
        base64.b64encode(VALUE.encode()).decode().rstrip("="),
    ],
)
def test_the_value_of_a_secret_variable_is_taken_out_in_every_form(redactor: Redactor, form: str):
    assert redactor.text(f"<{form}>") == "<[redacted SERVICE_PASSWORD]>"


def test_names_look_secret_by_their_parts():
    secret = "HF_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "PGPASSWORD", "my_secret"
    other = "TOKENIZERS_PARALLELISM", "PWD", "HOME", "MONKEY_ISLAND", "KEYBOARD", "PATH", "SSH_AUTH_SOCK"
    assert [name for name in secret if not looks_secret(name)] == []
    assert [name for name in other if looks_secret(name)] == []
    # The mistake: a part of the name anywhere in it.
    assert any("TOKEN" in name or "KEY" in name for name in other)


@pytest.mark.parametrize(
    "text",
    [
        "home-folder false-alarm",
        "the task sk-learn, ghp_short, hf_hub_download, xoxo, eyJust.eyJokes.x",
        "tokens = model.to_tokens('The key'); correct_token = ' John'",
        "loss 0.123456789 of blocks.0.attn.hook_result at https://example.org/a:b/c@d",
        "AKIA is a prefix; -----BEGIN CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(redactor: Redactor, text: str):
    redactor.learn_from(text)
    assert redactor.text(text, markup=True) == text


def test_a_secret_in_colours_or_tags_is_found(redactor: Redactor):
    token = SHAPES["GitHub token"]
    coloured = token[:9] + "\x1b[0;32m" + token[9:] + "\x1b[0m!"
    assert redactor.text(coloured) == "[redacted GitHub token]\x1b[0;32m\x1b[0m!"
    tagged = f"<b>{token[:9]}</b><i>{token[9:]}</i>"
    assert redactor.text(tagged, markup=True) == "<b>[redacted GitHub token]</b><i></i>"
    # The mistake: looking at the text as it stands.
    assert token not in coloured and token not in tagged


def test_a_bundle_is_clean_in_all_its_types(redactor: Redactor):
    found = Counter[str]()
    picture = base64.b64encode(b"\x89PNG tEXt " + VALUE.encode()).decode()
    clean = base64.b64encode(b"\x89PNG nothing").decode()
    bundle = {
        "text/plain": f"a {VALUE}",
        "text/html": f"<td>{html.escape(VALUE)}</td>",
        "application/vnd.plotly.v1+json": {"data": [{"name": VALUE, VALUE: 1}]},
        "image/png": picture,
        "image/gif": clean,
    }
    seen = redactor.bundle(bundle, found)
    assert VALUE not in json.dumps(seen) and json.dumps(VALUE)[1:-1] not in json.dumps(seen)
    assert seen["image/png"] == "[redacted SERVICE_PASSWORD]"
    assert seen["image/gif"] == clean
    assert found == {"SERVICE_PASSWORD": 5}


def test_code_that_sets_a_secret_is_read_before_it_runs(redactor: Redactor):
    for code, value in {
        'import os\nos.environ["SOME_TOKEN"] = "planted-in-code"': "planted-in-code",
        "%env OTHER_KEY=planted-by-magic": "planted-by-magic",
        "password = 'hunter2-hunter2'": "hunter2-hunter2",
        'client = Client(api_key="planted-argument")': "planted-argument",
        "os.environ.setdefault('MY_SECRET', 'planted-default')": "planted-default",
    }.items():
        redactor.learn_from(code)
        assert value not in redactor.text(code), code
    plain = 'os.environ["MODE"] = "not-secret-at-all"'
    redactor.learn_from(plain)
    assert redactor.text(plain) == plain


def test_a_variable_set_later_is_seen():
    environ = {"A_KEY": "first-value"}
    redactor = Redactor(environ)
    environ["A_KEY"] = "second-value"
    assert "second-value" in redactor.text("first-value second-value")
    redactor.refresh()
    assert redactor.text("first-value second-value") == "[redacted A_KEY] [redacted A_KEY]"


def test_short_and_plain_values_are_left():
    assert Redactor({"A_KEY": "1", "B_TOKEN": "false"}).text("1 false") == "1 false"


@pytest.mark.parametrize("secret", [VALUE, *SHAPES.values()])
def test_the_open_end_holds_back_every_first_part_of_a_secret(redactor: Redactor, secret: str):
    """Written in two parts at any place, it does not pass."""
    for cut in range(1, len(secret)):
        first, second = f"said {secret[:cut]}", f"{secret[cut:]} and more"
        safe = redactor.open_end(first)
        written = redactor.text(first[:safe]) + redactor.text(first[safe:] + second)
        assert secret not in written, cut


def test_ordinary_text_is_not_held_back(redactor: Redactor):
    for text in ("loss 0.5\n", "epoch 3 of 10\n", "100%|####| 10/10", "done."):
        assert redactor.open_end(text) == len(text), text
