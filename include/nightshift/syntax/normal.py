"""Definitions as text that is the same for what means the same, on every version of Python.

Layout, comments, docstrings, local names, and how a name was imported leave no trace in it. What a definition refers
to is written by what it is: ``%0`` a local, ``@dotted`` of another library, ``=name`` of Python, ``#0`` a definition of
the project, numbered by who asks for the text.
"""

import ast
from collections.abc import Callable, Iterable, Iterator

from nightshift.syntax.bindings import (
    Comprehension,
    Function,
    arguments,
    bindings,
    imported,
    of_comprehension,
    of_function,
)
from nightshift.syntax.modules import Module, Modules, Statement
from nightshift.syntax.names import Names, Scope
from nightshift.syntax.uses import Symbol, Uses

# Pandas finds names of its caller in the text that these are given.
_BY_TEXT = frozenset(("query", "eval"))
_NO_TRACE = frozenset(("ctx", "type_comment", "kind", "simple", "annotation", "returns", "lineno"))


class Writer:
    """Writes the definitions of one module. The arguments are those of ``Names``."""

    def __init__(
        self,
        modules: Modules,
        module: Module,
        number: Callable[[Symbol], int],
        known: Uses,
        uses: Uses,
        verbatim: bool = False,
    ) -> None:
        self.module, self.known, self.uses = module, known, uses
        self._names = Names(modules, module, number, known, uses, verbatim)

    def statement(self, statement: Statement, name: str = "") -> str:
        """A statement at the top of the module, which binds ``name`` or does something else."""
        node = statement.node
        self._names.begin(statement.before)
        if isinstance(node, Function):
            kept = bool(node.decorator_list) or (self.module.name, name or node.name) in self.known.values
            return self._function(node, kept)
        return self._node(node)

    def imports(self) -> str:
        """What the module's imports bind."""
        return ";".join(
            f"{name}={self._names.meant(dotted)}" for name, dotted in sorted(self.module.bound.imports.items())
        )

    def counts(self, node: ast.stmt) -> bool:
        """Return whether a statement has a text: where definitions are looked at, words and annotations have one."""
        shown = _is_docstring(node) or isinstance(node, ast.AnnAssign)
        return not does_nothing(node) or (self.known.reflects and shown)

    def _node(self, node: ast.AST) -> str:
        match node:
            case ast.Name() | ast.Attribute():
                text = self._chain(node, called=False)
            case ast.Constant(value=value):
                self.uses.look_at(str(value), self.module.name)
                text = f"{type(value).__name__}:{value!a}"
            case ast.JoinedStr(values=values):
                text = f"JoinedStr({','.join(self._merged(values))})"
            case ast.Call():
                text = self._call(node)
            case ast.Lambda():
                text = self._function(node, False)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                text = self._comprehension(node)
            case ast.stmt():
                text = self._statement(node)
            case _:
                text = self._plain(node)
        return text

    def _statement(self, node: ast.stmt) -> str:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                scope = self._names.innermost
                in_class = scope is not None and scope.of_class
                values = self.known.values
                kept = in_class or bool(node.decorator_list) or (self.module.name, f"%{node.name}") in values
                kept = kept or (self.module.name, node.name) in values
                text = f"{self._names.token(node.name)}={self._function(node, kept)}"
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                text = f"Assign([{self._node(target)}],{self._node(value) if value is not None else ''})"
                if self.known.reflects:
                    text += f":{self._node(annotation)}"
            case ast.Assign(targets=targets, value=value):
                text = f"Assign([{self._all(targets)}],{self._node(value)})"
            case ast.ClassDef():
                text = self._class(node)
            case ast.Import() | ast.ImportFrom():
                text = self._import(node)
            case ast.Global() | ast.Nonlocal():
                text = ""
            case _:
                text = self._plain(node)
        return text

    def _plain(self, node: ast.AST) -> str:
        """Any other node: its kind and its fields; names that it binds as text are names, too."""
        parts = []
        for name, value in ast.iter_fields(node):
            if name in _NO_TRACE or (name == "type_params" and not value):
                continue
            if isinstance(value, list):
                body = name in ("body", "orelse", "finalbody") and not isinstance(node, ast.IfExp)
                parts.append(f"[{self._body(value) if body else self._all(value)}]")
            elif isinstance(value, ast.AST):
                parts.append(self._node(value))
            elif name in ("name", "rest") and isinstance(value, str):
                parts.append(self._names.token(value))
            else:
                parts.append(ascii(value))
        return f"{type(node).__name__}({','.join(parts)})"

    def _all(self, nodes: Iterable[ast.AST | str | None]) -> str:
        return ",".join(self._node(node) if isinstance(node, ast.AST) else ascii(node) for node in nodes)

    def _body(self, nodes: Iterable[ast.stmt]) -> str:
        """Statements without those that do nothing."""
        texts = (self._node(node) for node in nodes if self.counts(node))
        return ";".join(text for text in texts if text)

    def _merged(self, values: Iterable[ast.expr]) -> Iterator[str]:
        """The parts of an f-string; versions of Python cut its text at other places."""
        text = ""
        for value in values:
            if isinstance(value, ast.Constant):
                text += str(value.value)
                continue
            if text:
                yield ascii(text)
            text = ""
            yield self._node(value)
        if text:
            yield ascii(text)

    def _call(self, node: ast.Call) -> str:
        function = (
            self._chain(node.func, called=True)
            if isinstance(node.func, ast.Name | ast.Attribute)
            else self._node(node.func)
        )
        if isinstance(node.func, ast.Attribute) and node.func.attr in _BY_TEXT:
            self.uses.opened.add(self.module.name)
        if function == "@logging.getLogger":
            return f"Call({function})"  # a log's name decides no row
        self.uses.keywords.update(item.arg or "**" for item in node.keywords)
        keywords = ",".join(f"{item.arg or '**'}={self._node(item.value)}" for item in node.keywords)
        return f"Call({function},[{self._all(node.args)}],[{keywords}])"

    def _function(self, node: Function | ast.Lambda, annotated: bool) -> str:
        annotated = annotated or self.known.reflects
        name = getattr(node, "name", "") if self.known.names or self.known.reflects else ""
        outside = [] if isinstance(node, ast.Lambda) else node.decorator_list
        before = f"[{self._all(outside)}],[{self._all(node.args.defaults)}],[{self._all(node.args.kw_defaults)}]"
        scope = of_function(node, self.module.package)
        shape = (len(node.args.posonlyargs), len(node.args.args), bool(node.args.vararg), bool(node.args.kwarg))
        returns = getattr(node, "returns", None)
        with self._names.within(Scope(scope.own(), scope.imports, scope.globals), late=True):
            parameters = ",".join(self._parameter(item, annotated) for item in arguments(node.args))
            result = self._node(returns) if annotated and returns is not None else ""
            body = self._node(node.body) if isinstance(node, ast.Lambda) else self._body(node.body)
        return f"{type(node).__name__}{name and f' {name}'}({before},{shape},[{parameters}],{result},[{body}])"

    def _parameter(self, item: ast.arg, annotated: bool) -> str:
        named = self.known.reflects or "**" in self.known.keywords or item.arg in self.known.keywords
        annotation = f":{self._node(item.annotation)}" if annotated and item.annotation is not None else ""
        return f"{self._names.token(item.arg)}{f' {item.arg}' if named else ''}{annotation}"

    def _comprehension(self, node: Comprehension) -> str:
        # The first of what it goes over is evaluated outside, where its own names are others.
        first = self._node(node.generators[0].iter)
        what = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        parts = []
        with self._names.within(Scope(of_comprehension(node))):
            for number, item in enumerate(node.generators):
                over = self._node(item.iter) if number else first
                parts.append(f"{over},{self._node(item.target)},[{self._all(item.ifs)}],{item.is_async}")
            return f"{type(node).__name__}([{';'.join(parts)}],{self._all(what)})"

    def _class(self, node: ast.ClassDef) -> str:
        self.uses.unresolved.add(self.module.name)
        scope = bindings(node.body, self.module.package)
        head = f"{self._all(node.decorator_list)},{self._all(node.bases)},{self._all(node.keywords)}"
        with (
            self._names.as_they_are(),
            self._names.within(Scope(scope.own(), scope.imports, scope.globals, of_class=True)),
        ):
            # Fields of a data class are annotations.
            fields = ",".join(
                f"{ast.unparse(item.target)}:{self._node(item.annotation)}"
                for item in node.body
                if isinstance(item, ast.AnnAssign)
            )
            return f"Class({node.name},{head},{fields},[{self._body(node.body)}])"

    def _import(self, node: ast.Import | ast.ImportFrom) -> str:
        """An import binds names; in a function it has no text for those that have no other meaning there."""
        names = list(imported(node, self.module.package))
        if isinstance(node, ast.Import):  # `import a.b` binds `a`, and fails where there is no `a.b`
            names = [
                (name, alias.name if self._names.modules.is_ours(alias.name) else dotted)
                for (name, dotted), alias in zip(names, node.names, strict=True)
            ]
        scope = self._names.innermost
        if scope is not None and not self._names.verbatim:
            names = [item for item in names if item[0] not in scope.imports]
        pairs = sorted((self._names.token(name), self._names.meant(dotted)) for name, dotted in names)
        return f"import({pairs})" if pairs else ""

    def _chain(self, node: ast.Name | ast.Attribute, called: bool) -> str:
        """A chain of names and dots, or of dots behind something else."""
        attributes: list[str] = []
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            attributes.insert(0, root.attr)
            root = root.value
        if isinstance(root, ast.Name):
            return self._names.reference(root, attributes, called)
        for name in attributes:
            self.uses.look_at(name, self.module.name)
        return ".".join([self._node(root), *attributes])


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def does_nothing(node: ast.AST) -> bool:
    """Return whether a statement is a docstring or another constant, ``pass``, or a mere annotation."""
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return True
        case _:
            return type(node).__name__ == "TypeAlias"
