"""The meanings of names and chains of dots in a definition, as text that is the same for what is the same."""

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field

from nightshift.syntax.bindings import plain
from nightshift.syntax.modules import Module, Modules
from nightshift.syntax.uses import OF_THE_MODULE, Symbol, Uses, looks

WHOLE = "*"
"""The name that stands for all that a module defines."""
ALL = "**"
"""The name that stands for all that can be had of a module: what it defines and what it imports."""
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}
# Who calls these can reach what no text names; the names that a module imports, too.
_UNRESOLVED = frozenset(("getattr", "setattr", "delattr"))
_OPENED = frozenset(("globals", "locals", "vars", "dir", "eval", "exec", "__import__", "compile"))


@dataclass
class Scope:
    """The names that a function, comprehension or class binds, and the tokens that its locals have got so far."""

    names: Set[str]
    imports: dict[str, str] = field(default_factory=dict)
    globals: Set[str] = frozenset()
    of_class: bool = False
    tokens: dict[str, str] = field(default_factory=dict)


@dataclass
class Names:
    """Resolves the names of one module in the scopes around the place that is written.

    ``number`` gives a definition of the project its number. ``known`` is what was found out of all definitions before;
    ``uses`` is what is found out now. With ``verbatim`` names stay as they are.
    """

    modules: Modules
    module: Module
    number: Callable[[Symbol], int]
    known: Uses
    uses: Uses
    verbatim: bool = False

    def __post_init__(self) -> None:
        self.begin({})

    def begin(self, before: Mapping[str, int]) -> None:
        """Begin a statement at the top of the module; ``before`` says how often names were bound above it."""
        self._scopes: list[Scope] = []
        self._locals = 0
        self._late = 0
        self._before = before

    @property
    def innermost(self) -> Scope | None:
        """The scope of the place that is written; None at the top of the module."""
        return self._scopes[-1] if self._scopes else None

    @contextmanager
    def within(self, scope: Scope, late: bool = False) -> Iterator[None]:
        """Write what is in a scope; ``late`` where it runs after the module was imported."""
        self._scopes.append(scope)
        self._late += late
        yield
        self._late -= late
        self._scopes.pop()

    @contextmanager
    def as_they_are(self) -> Iterator[None]:
        """Write locals by their own names."""
        before, self.verbatim = self.verbatim, True
        yield
        self.verbatim = before

    def reference(self, root: ast.Name, attributes: list[str], called: bool) -> str:
        """A name and the chain of attributes that is asked of it."""
        for name in attributes:
            self.uses.look_at(name, self.module.name)
        loaded = isinstance(root.ctx, ast.Load)
        scope = self._scopes[-1] if self._scopes else Scope(frozenset())
        around = ""
        if loaded and scope.of_class and root.id in scope.names:
            # Until a class binds a name, it is that of the scope around.
            self._scopes.pop()
            around = f"|{self.reference(ast.Name(root.id, ast.Load()), [], called=False)}"
            self._scopes.append(scope)
        dotted = self._imported(root.id)
        if dotted is not None:
            return f"{self.meant('.'.join([dotted, *attributes]), called)}{around}"
        token = self.token(root.id, called and not attributes)
        if loaded and not called and token.startswith("%"):
            self.uses.values.add((self.module.name, f"%{root.id}"))
        return "".join([token, *(f".{name}" for name in attributes), around])

    def _seen(self) -> Iterator[Scope]:
        """The scopes whose names can be seen, innermost first: those of a class only in its own body."""
        for number, scope in enumerate(reversed(self._scopes)):
            if not scope.of_class or not number:
                yield scope

    def _imported(self, name: str) -> str | None:
        for scope in self._seen():
            if name in scope.globals:
                break
            if name in scope.imports:
                return scope.imports[name]
            if name in scope.names:
                return None
        return self.module.bound.imports.get(name)

    def token(self, name: str, called: bool = False) -> str:
        """The token of a name that no import gives."""
        for scope in self._seen():
            if name in scope.globals:
                break
            if name in scope.names:
                if self.verbatim or self.known.reflects:
                    return f"%{name}"
                if name not in scope.tokens:
                    scope.tokens[name] = f"%{self._locals}"
                    self._locals += 1
                return scope.tokens[name]
        if name in self.module.bound.names:
            return self._symbol((self.module.name, name), called, name)
        self.uses.look_at(name, self.module.name)
        if name in OF_THE_MODULE:
            return f"={name} {self.module.name}"
        if name in _OPENED:
            self.uses.opened.add(self.module.name)
        elif name in _UNRESOLVED or name not in _BUILTINS:
            self.uses.unresolved.add(self.module.name)
        return f"={name}"

    def _symbol(self, symbol: Symbol, called: bool, own: str = "") -> str:
        if not called:
            self.uses.values.add(symbol)
        # While the module is imported a name is what it was bound to last; later it is what it was bound to in the end.
        bound = f"~{self._before.get(own, 0)}" if own and not self._late else ""
        return f"#{self.number(symbol)}{bound}"

    def meant(self, dotted: str, called: bool = False) -> str:
        """The meaning of a dotted name, followed through modules of the project that only pass it on."""
        for _ in range(16):
            found = self.modules.split(dotted)
            if found is None:
                if looks(plain(dotted)):
                    self.uses.look_at("__globals__", self.module.name)
                return f"@{plain(dotted)}"
            module, rest = found
            if not rest:
                return f"#{self.number((module.name, ALL))}"
            if rest[0] not in module.bound.imports:
                break
            dotted = ".".join([module.bound.imports[rest[0]], *rest[1:]])
        if rest[0] not in module.bound.names:
            return f"#{self.number((module.name, ALL))}.{'.'.join(rest)}"
        return self._symbol((module.name, rest[0]), called and not rest[1:]) + "".join(f".{name}" for name in rest[1:])
