"""Which names a cell makes and which it takes from the cells before, as far as reading the code can tell."""

from __future__ import annotations

import ast
import re
import symtable
from dataclasses import dataclass, field

# Lines that are IPython's and not Python's: !shell, %magic, and help with a question mark.
_SHELL = re.compile(r"^\s*!|=\s*!|^\s*%(?:sx|system)\b|^%%(?:bash|sh|script|perl|ruby)\b", re.MULTILINE)
_IPYTHON = re.compile(r"^(?P<indent>\s*)(?:[!%?].*|\S.*\?\??\s*)$", re.MULTILINE)
_ASSIGNED = re.compile(r"^(?P<indent>\s*)(?P<name>[A-Za-z_]\w*)\s*=\s*[!%].*$", re.MULTILINE)
_TIMED = re.compile(r"^(?P<indent>\s*)%(?:time|timeit|prun|memit)\b(?:\s+-\S+(?:\s+\d+)?)*\s*", re.MULTILINE)
_CELL_MAGIC = re.compile(r"^%%(?P<name>\w+).*\n?")


@dataclass(frozen=True)
class Names:
    """Names at the top of a cell.

    Args:
        defined: that it makes.
        used: that it takes from before: read before it makes them, or within functions and classes.
        star: whether `from … import *` may make any.
        shell: whether it runs commands of the shell.
        readable: whether it could be parsed; if not, nothing is known of its names.
    """

    defined: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    star: bool = False
    shell: bool = False
    readable: bool = field(default=True)


def names_of(code: str) -> Names:
    """The names of a cell.

    Branches are taken to be run: a name made in an `if` counts as made. Names that are made by `exec`, `globals()` or a
    magic are not seen.
    """
    shell = bool(_SHELL.search(code))
    plain = as_python(code)
    try:
        tree = ast.parse(plain)
        table = symtable.symtable(plain, "<cell>", "exec")
    except (SyntaxError, ValueError):
        return Names(shell=shell, readable=False)
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))
    defined = {
        s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    defined |= _made_global(table)
    used = _read_first(tree) | _free_below(table)
    return Names(frozenset(defined), frozenset(used), star, shell)


def as_python(code: str) -> str:
    """Code with IPython's own lines taken out, or made such that Python can read them."""
    found = _CELL_MAGIC.match(code)
    if found and found["name"] not in ("time", "timeit", "capture", "prun"):
        return ""
    code = code[found.end() :] if found else code
    code = _TIMED.sub(r"\g<indent>", code)
    code = _ASSIGNED.sub(r"\g<indent>\g<name> = None", code)
    # Question marks within strings are no help: a line that Python can read stays.
    return code if _reads(code) else _IPYTHON.sub(r"\g<indent>pass", code)


def _reads(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    return True


def _made_global(table: symtable.SymbolTable) -> set[str]:
    """Names that functions make in the notebook, by `global`."""
    made: set[str] = set()
    for child in table.get_children():
        made |= {s.get_name() for s in child.get_symbols() if s.is_declared_global() and s.is_assigned()}
        made |= _made_global(child)
    return made


def _free_below(table: symtable.SymbolTable) -> set[str]:
    """Names of the notebook that functions, classes and comprehensions within the cell read and the cell does not make."""
    top = {
        s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    found: set[str] = set()

    def walk(child: symtable.SymbolTable) -> None:
        for symbol in child.get_symbols():
            if symbol.is_global() and symbol.is_referenced() and symbol.get_name() not in top:
                found.add(symbol.get_name())
        for below in child.get_children():
            walk(below)

    for child in table.get_children():
        walk(child)
    return found


def _read_first(tree: ast.Module) -> set[str]:
    """Names that statements at the top read before the cell has made them."""
    made: set[str] = set()
    found: set[str] = set()
    for statement in tree.body:
        visitor = _Reads()
        visitor.visit(statement)
        found |= visitor.read - made - (visitor.made_within if isinstance(statement, _BLOCKS) else set())
        made |= visitor.made | visitor.made_within
    return found


_BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match)


class _Reads(ast.NodeVisitor):
    """Names read and made at the top level of one statement; what lies in functions is left to the symbol table."""

    def __init__(self) -> None:
        self.read, self.made, self.made_within = set[str](), set[str](), set[str]()

    def visit_Name(self, node: ast.Name) -> None:
        (self.read if isinstance(node.ctx, ast.Load) else self.made_within).add(node.id)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read.add(node.target.id)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.made |= {alias.asname or alias.name for alias in node.names}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.made.add(node.name)
        for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.made.add(node.name)
        for part in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(part)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(part)

    def visit_ListComp(self, node: ast.AST) -> None:
        """A comprehension reads its first iterable here; the rest is a scope of its own, known to the symbol table."""
        generators: list[ast.comprehension] = node.generators  # pyright: ignore[reportAttributeAccessIssue]
        self.visit(generators[0].iter)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.made_within.add(node.name)
        self.generic_visit(node)
