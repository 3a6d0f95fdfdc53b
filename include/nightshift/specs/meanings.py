"""The meanings of expressions in a module: the dotted names of libraries, the texts, and what a variable was given."""

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nightshift.specs.forbidden import DOTTED, GIVEN_NAMES, forbidden_name
from nightshift.syntax.bindings import Function, in_scope, plain
from nightshift.syntax.modules import Module, Modules

_SESSIONS = frozenset(("sparkSession", "spark", "session"))
_FOUND_SESSIONS = frozenset(("getActiveSession", "getOrCreate", "active"))
_OF_TEXTS = frozenset(("format", "join", "replace", "strip", "dedent", "lower", "upper", "str", "items", "values"))
_DEEPEST = 6  # variables that are given by variables


@dataclass(frozen=True)
class _Scope:
    """The names that a scope binds, of these the imports, and what assignments and loops give the others."""

    names: frozenset[str]
    imports: Mapping[str, str]
    given: Mapping[str, Sequence[ast.expr]]
    of_class: bool = False


class Meanings:
    """Resolves names in the scopes around the place that is read.

    A variable is what assignments and loops give it in the scope that binds it, an attribute what a class of the module
    gives one of its name.
    """

    def __init__(self, modules: Modules, module: Module) -> None:
        self._modules, self._module = modules, module
        bound = module.bound
        self._scopes = [_Scope(bound.own(), bound.imports, _given(in_scope(module.tree.body)))]
        classes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
        self._of_classes = _given(item for node in classes for item in in_scope(node.body))

    @contextmanager
    def within(
        self, names: frozenset[str], imports: Mapping[str, str], nodes: Iterable[ast.AST], of_class: bool = False
    ) -> Iterator[None]:
        """Read what is in a scope of these nodes and names; those of a class are seen in its own body alone."""
        self._scopes.append(_Scope(names, imports, _given(in_scope(nodes)), of_class))
        yield
        self._scopes.pop()

    def binds(self, *names: str) -> bool:
        """Return whether a scope around the place binds one of some names."""
        return any(not scope.names.isdisjoint(names) for scope in self._scopes[1:])

    def dotted(self, node: ast.AST, depth: int = 0) -> str | None:
        """The dotted name that an expression of names and dots stands for; None for a variable or others."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        base = self._meaning(node.id, depth) if isinstance(node, ast.Name) else None
        return None if base is None else self.meant(".".join([base, *reversed(attributes)]))

    def meant(self, dotted: str) -> str:
        """The name that a module of the project has from elsewhere, if that is what is asked for."""
        for _ in range(8):
            found = self._modules.split(dotted)
            if found is None or not found[1] or found[1][0] not in found[0].bound.imports:
                break
            dotted = ".".join([found[0].bound.imports[found[1][0]], *found[1][1:]])
        return plain(dotted)

    def is_ours(self, dotted: str) -> bool:
        """Return whether a dotted name is of the project."""
        return self._modules.is_ours(dotted)

    def texts(self, node: ast.AST) -> list[str]:
        """The texts in an expression, and those that a name in it was given."""
        names = [item.id for item in ast.walk(node) if isinstance(item, ast.Name)]
        given = (value for name in names for value in self._given(name))
        nodes = (item for value in (node, *given) for item in ast.walk(value))
        return [item.value for item in nodes if isinstance(item, ast.Constant) and isinstance(item.value, str)]

    def given(self, node: ast.expr) -> list[ast.expr]:
        """An expression and, where it is a name, what that is given."""
        return [node, *(self._given(node.id) if isinstance(node, ast.Name) else ())]

    def texts_around(self, node: ast.stmt | ast.expr) -> list[str]:
        """The texts in the statement that a node stands in."""
        around = [
            item for item in ast.walk(self._module.tree)
            if isinstance(item, ast.stmt) and not isinstance(item, Function | ast.ClassDef)
            and item.lineno <= node.lineno <= (item.end_lineno or item.lineno)
        ]  # fmt: skip
        return self.texts(around[-1]) if around else []

    def whole_texts(self, node: ast.AST, seen: set[str] | None = None) -> list[str]:
        """The texts that an expression is made of, those left out that it only compares, or gives to a function."""
        seen = set() if seen is None else seen
        parts: Iterable[ast.AST] = ast.iter_child_nodes(node)
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Compare() | ast.Lambda():
                return []
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name not in _OF_TEXTS:
                return []
            case ast.Name(id=name):
                parts = self._once(name, seen) or self._elsewhere(node, seen)
            case ast.Attribute(value=ast.Name() as value, attr=name):  # of a class or a module, say
                parts = [value, *self._once(name, seen, self._of_classes), *self._elsewhere(node, seen)]
            case ast.Subscript(value=value):  # an index is the name of a column, or a key
                parts = [value]
        return [text for part in parts for text in self.whole_texts(part, seen)]

    def constants(self, node: ast.expr, seen: set[str] | None = None) -> list[str]:
        """The texts that an expression is, itself or as a literal of Spark, and not one that it is computed from."""
        seen = set() if seen is None else seen
        parts: Iterable[ast.expr] = ()
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[value]) if name in ("lit", "expr"):
                parts = [value]
            case ast.List(elts=values) | ast.Tuple(elts=values):
                parts = values
            case ast.Name(id=name):
                parts = self._once(name, seen)
        return [text for part in parts for text in self.constants(part, seen)]

    def is_path(self, node: ast.AST, seen: set[str] | None = None) -> bool:
        """Return whether an expression is made of a path of pathlib."""
        seen = set() if seen is None else seen
        match node:
            case ast.Name() | ast.Attribute() if (dotted := self.dotted(node)) and dotted.startswith("pathlib."):
                return True
            case ast.Name(id=name):
                return any(self.is_path(value, seen) for value in self._once(name, seen))
            case ast.Attribute(value=inner) | ast.Call(func=inner) | ast.Subscript(value=inner):
                return self.is_path(inner, seen)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.is_path(left, seen) or self.is_path(right, seen)
            case _:
                return False

    def is_session(self, node: ast.AST, seen: set[str] | None = None) -> bool:
        """Return whether an expression is a session of Spark."""
        seen = set() if seen is None else seen
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in _SESSIONS:
                return True
            case ast.Name(id=name):
                return any(self.is_session(value, seen) for value in self._once(name, seen))
            case ast.Call(func=ast.Attribute(attr=name)):
                return name in _FOUND_SESSIONS
            case _:
                return False

    def _once(
        self, name: str, seen: set[str], given: Mapping[str, Sequence[ast.expr]] | None = None
    ) -> Sequence[ast.expr]:
        """The values that a name is given, where it was not followed before: it may be given what it was."""
        if name in seen:
            return ()
        seen.add(name)
        return self._given(name) if given is None else given.get(name, ())

    def _elsewhere(self, node: ast.expr, seen: set[str]) -> Sequence[ast.expr]:
        """The value that another module of the project gives a name that is imported from it."""
        found = self._modules.split(dotted) if (dotted := self.dotted(node)) else None
        if found is None or len(found[1]) != 1 or dotted in seen:
            return ()
        seen.add(str(dotted))
        return _given(in_scope(found[0].tree.body)).get(found[1][0], ())

    def _scope(self, name: str) -> _Scope | None:
        """The innermost scope that binds a name; a class around the own scope is passed over, as Python does."""
        innermost = self._scopes[-1]
        seen = (scope for scope in reversed(self._scopes) if scope is innermost or not scope.of_class)
        return next((scope for scope in seen if name in scope.names or name in scope.imports), None)

    def _given(self, name: str) -> Sequence[ast.expr]:
        scope = self._scope(name)
        return scope.given.get(name, ()) if scope is not None else ()

    def _meaning(self, name: str, depth: int) -> str | None:
        scope = self._scope(name)
        if scope is not None:
            return scope.imports.get(name) or self._other_name(name, depth)
        stars = [star for star in self._module.bound.stars if _is_from(star, name)]
        if stars:
            return f"{stars[0]}.{name}"
        return f"builtins.{name}" if hasattr(builtins, name) else None

    def _other_name(self, name: str, depth: int) -> str | None:
        """The name that a variable stands for if it is only another name for something."""
        given = self._given(name)
        if len(given) != 1 or depth > _DEEPEST or not isinstance(given[0], ast.Name | ast.Attribute):
            return None
        return self.dotted(given[0], depth + 1)


def _is_from(star: str, name: str) -> bool:
    """Return whether a name that nothing binds may be a forbidden one of a module that is imported as a whole."""
    dotted = f"{star}.{name}"
    return dotted in DOTTED or (not hasattr(builtins, name) and forbidden_name(dotted) is not None)


def methods(tree: ast.Module) -> Iterator[str]:
    """The names of the methods of all classes in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (item.name for item in node.body if isinstance(item, Function))


def named_columns(tree: ast.Module) -> Iterator[str]:
    """The names, in lower case, that a module gives to columns, or asks of frames by name."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in GIVEN_NAMES:
                given: Iterable[ast.expr] = node.args
            case ast.Call(func=ast.Attribute(attr="withColumns"), args=[ast.Dict(keys=keys)]):
                given = filter(None, keys)
            case _:
                continue
        for item in given:
            if isinstance(item, ast.Constant) and isinstance(item.value, str):
                yield item.value.lower()


def _given(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """The expressions that names are given by assignments and loops among some nodes; a loop's is the whole."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [item.id for item in targets if isinstance(item, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                names = [name]
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                names = [name]
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                names = [item.id for item in ast.walk(target) if isinstance(item, ast.Name)]
            case _:
                continue
        for name in names:
            found.setdefault(name, []).append(value)
    return found
