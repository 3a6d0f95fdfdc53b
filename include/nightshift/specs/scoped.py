"""A visitor of a module's syntax tree that knows what names mean at the place it is at."""

import ast
from collections.abc import Mapping, Sequence

from nightshift.specs.meanings import Meanings
from nightshift.syntax.bindings import Comprehension, Function, bindings, of_comprehension, of_function
from nightshift.syntax.modules import Module, Modules


class Scoped(ast.NodeVisitor):
    """Enters and leaves the scopes of functions, classes and comprehensions; annotations are not visited."""

    def __init__(self, modules: Modules, module: Module) -> None:
        self._module = module
        self._meanings = Meanings(modules, module)

    def visit(self, node: ast.AST) -> None:
        """Visit a node, in a scope of its own where it has one."""
        if isinstance(node, Function):
            self._function(node)
        elif isinstance(node, Comprehension):
            self.visit(node.generators[0].iter)  # it is evaluated outside
            self._within(of_comprehension(node), {}, list(ast.iter_child_nodes(node)))
        else:
            super().visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit a class in its scope."""
        scope = bindings(node.body, self._module.package)
        self._within(scope.own(), scope.imports, list(ast.iter_child_nodes(node)), of_class=True)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Visit defaults outside, the body inside."""
        self._defaults(node)
        self._within(of_function(node).own(), {}, [node.body])

    def _function(self, node: Function) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._defaults(node)
        scope = of_function(node, self._module.package)
        self._within(scope.own(), scope.imports, node.body)

    def _defaults(self, node: Function | ast.Lambda) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)

    def _within(
        self, names: frozenset[str], imports: Mapping[str, str], nodes: Sequence[ast.AST], of_class: bool = False
    ) -> None:
        with self._meanings.within(names, imports, nodes, of_class):
            for node in nodes:
                self.visit(node)
