"""Which names a scope of Python binds, and what its imports stand for. Pure."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_CHECKING = "TYPE_CHECKING"
_TYPING = frozenset(("typing", "typing_extensions"))
_CHECKING_OF = frozenset(f"{name}.{_CHECKING}" for name in _TYPING)


@dataclass
class Bindings:
    """What a scope binds: ``names``, of these ``imports`` (name to dotted name); and what is declared of other scopes.

    What comes out of a module is written ``module:name``: a package may have another thing of its module's name.
    ``elsewhere`` are declared ``global`` or ``nonlocal``, ``globals`` the former; ``stars`` are imported as a whole. A
    name that is bound by an import and otherwise too is no import: nobody knows which one it is.
    """

    names: set[str] = field(default_factory=set)
    imports: dict[str, str] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    stars: list[str] = field(default_factory=list)

    def own(self) -> frozenset[str]:
        """The names that belong to this scope."""
        return frozenset(self.names - self.elsewhere)


def bindings(nodes: Iterable[ast.AST], package: str = "") -> Bindings:
    """The names that statements bind in their own scope. ``package`` is that of the module, for relative imports."""
    found, otherwise = Bindings(), set[str]()
    for node in in_scope(nodes):
        match node:
            case ast.Import() | ast.ImportFrom():
                for name, dotted in imported(node, package):
                    if name == "*":
                        found.stars.append(dotted)
                        continue
                    if found.imports.setdefault(name, dotted) != dotted:
                        otherwise.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                found.elsewhere.update(names)
                found.globals.update(names if isinstance(node, ast.Global) else ())
            case _:
                otherwise.update(_bound_by(node))
    found.names = otherwise | set(found.imports)
    otherwise |= found.elsewhere
    found.imports = {name: dotted for name, dotted in found.imports.items() if name not in otherwise}
    return found


def of_function(node: Function | ast.Lambda, package: str = "") -> Bindings:
    """The names that a function binds: its parameters and what its body does."""
    body = [node.body] if isinstance(node, ast.Lambda) else node.body
    found = bindings(body, package)
    parameters = {item.arg for item in arguments(node.args)}
    found.names |= parameters
    found.imports = {name: dotted for name, dotted in found.imports.items() if name not in parameters}
    return found


def of_comprehension(node: Comprehension) -> frozenset[str]:
    """The names that a comprehension binds."""
    targets = [item for part in node.generators for item in ast.walk(part.target)]
    return frozenset(item.id for item in targets if isinstance(item, ast.Name))


def arguments(args: ast.arguments) -> list[ast.arg]:
    """The parameters in their order."""
    star = [item for item in (args.vararg, args.kwarg) if item is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *star]


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and what each stands for, as Bindings say it; ``*`` for all of a module."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        return
    module = _absolute(node, package)
    for alias in node.names:
        yield ("*", module) if alias.name == "*" else (alias.asname or alias.name, f"{module}:{alias.name}")


def plain(dotted: str) -> str:
    """A dotted name without the mark of where its module ends."""
    return dotted.replace(":", ".")


def modules_of(node: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """The modules that an import may run, parents left out."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    module = _absolute(node, package)
    return [module, *(f"{module}.{alias.name}" for alias in node.names)]


def never_true(body: list[ast.stmt], package: str) -> frozenset[str]:
    """The conditions, as texts, that hold for type checkers alone, or when the module is a program.

    A module that gives one of their names another meaning has no such condition of that name.
    """
    declared = [node for node in body if _is_declared_false(node)]
    bound = bindings([node for node in body if node not in declared], package)
    found = set() if "__name__" in bound.names else {"__name__ == '__main__'"}
    name = bound.imports.get(_CHECKING, "")
    if not bound.stars and (plain(name) in _CHECKING_OF or (declared and _CHECKING not in bound.names)):
        found.add(_CHECKING)
    stored = (item for node in body for item in ast.walk(node) if isinstance(item, ast.Attribute))
    if not any(item.attr == _CHECKING and isinstance(item.ctx, ast.Store) for item in stored):
        found |= {f"{name}.{_CHECKING}" for name, dotted in bound.imports.items() if dotted in _TYPING}
    return frozenset(found)


def never_runs(test: ast.expr, never: frozenset[str]) -> bool:
    """Return whether the body of an ``if`` never runs at a module's import; ``never`` are the conditions that tell."""
    return isinstance(test, ast.Name | ast.Attribute | ast.Compare) and ast.unparse(test) in never


def _is_declared_false(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=False)):
            return name == _CHECKING
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=False)):
            return name == _CHECKING
        case _:
            return False


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def in_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of a scope, those of the scopes within it left out; what a comprehension assigns by ``:=`` is in it."""
    for node in nodes:
        yield node
        if isinstance(node, Function | ast.Lambda | ast.ClassDef):
            yield from in_scope(_outside(node))
        elif isinstance(node, Comprehension):
            yield from (item for item in ast.walk(node) if isinstance(item, ast.NamedExpr))
        else:
            yield from in_scope(ast.iter_child_nodes(node))


def _outside(node: Function | ast.Lambda | ast.ClassDef) -> list[ast.expr]:
    """What of a definition is evaluated where it stands: decorators, defaults, bases."""
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *(item.value for item in node.keywords)]
    defaults = [*node.args.defaults, *(item for item in node.args.kw_defaults if item is not None)]
    return defaults if isinstance(node, ast.Lambda) else [*node.decorator_list, *defaults]


def _bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.NamedExpr(target=ast.Name(id=name)):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return [name]
        case ast.MatchMapping(rest=str(name)):
            return [name]
        case _:
            return []
