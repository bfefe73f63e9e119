"""Which names a cell makes and takes, by cells read by eye."""

import pytest

from unweave.recorder.exports.names import names_of


@pytest.mark.parametrize(
    ("code", "made", "taken"),
    [
        ("x = 1", {"x"}, set()),
        ("x = x + 1", {"x"}, {"x"}),
        ("x += 1", {"x"}, {"x"}),
        ("import numpy as np\nnp.zeros(n)", {"np"}, {"n"}),
        ("import a.b", {"a"}, set()),
        ("def f(x):\n    return x + y", {"f"}, {"y"}),
        # A name that a function reads and the cell makes is none that comes from before.
        ("def f():\n    return y\ny = 2", {"f", "y"}, set()),
        ("for i in items:\n    print(i)", {"i"}, {"items", "print"}),
        ("squares = [i * k for i in items]", {"squares"}, {"items", "k"}),
        ("with open(path) as f:\n    text = f.read()", {"f", "text"}, {"open", "path"}),
        ("class A(B):\n    size = n", {"A"}, {"B", "n"}),
        ("def f():\n    global total\n    total = 1", {"f", "total"}, set()),
        ("f = lambda x: x + c", {"f"}, {"c"}),
        ("if flag:\n    z = 1", {"z"}, {"flag"}),
        ("%time y = x + 1", {"y"}, {"x"}),
        ("files = !ls", {"files"}, set()),
        ("%%bash\necho $HOME", set(), set()),
        ("print?", set(), set()),
        ("a, (b, *c) = thing", {"a", "b", "c"}, {"thing"}),
        ("try:\n    v = 1\nexcept ValueError as e:\n    print(e)", {"v", "e"}, {"ValueError", "print"}),
    ],
)
def test_names_made_and_taken(code: str, made: set[str], taken: set[str]):
    found = names_of(code)
    assert (set(found.defined), set(found.used)) == (made, taken)
    assert found.readable


def test_what_cannot_be_read_says_so():
    assert not names_of("this is ( no python").readable
    assert names_of("from a import *").star
    assert names_of("!pip install x\ny = 1").shell
    assert names_of("%%bash\nls").shell
    assert not names_of("x = a != b").shell
