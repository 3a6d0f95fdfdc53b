"""What a function of a module reaches: one digest for all that decides what it returns.

Definitions are followed from the function on, and numbered as they are met, so that neither their names nor their
places count. What a module does while it is imported, other than to bind names, counts where the module is imported.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.errors import SpecError
from nightshift.syntax.effects import acts, depends, is_import
from nightshift.syntax.modules import Module, Modules, Statement, parsed
from nightshift.syntax.names import ALL, WHOLE
from nightshift.syntax.normal import Writer
from nightshift.syntax.uses import Symbol, Uses

_Number = Callable[[Symbol], int]


def reached(home: Path, module: str, entry: str) -> str:
    """The digest of what the function ``entry`` of a module (a dotted name) reaches. Raises SpecError."""
    modules = Modules(home)
    start = modules.find(module)
    if start is None:
        where = str(home.joinpath(*module.split(".")).with_suffix(".py"))
        raise SpecError("there is no such feature module", where=where, do="write it or correct the spec")
    # What the first time finds out of calls decides what of parameters and annotations has to be kept.
    first = _Reach(modules, Uses())
    first.follow(start, entry)
    second = _Reach(modules, first.uses)
    second.follow(start, entry)
    return _hash(second.texts())


def whole(content: bytes, where: str) -> str:
    """The digest of all that a module says; comments, docstrings, layout and imports aside. Raises SpecError."""
    module = parsed(Path(where), "module", "", content)
    numbers: dict[Symbol, int] = {}
    everything = Uses(keywords={"**"})
    writer = Writer(
        Modules(Path(where), ""), module, lambda symbol: numbers.setdefault(symbol, len(numbers)), everything, Uses()
    )
    return _hash(_all_of(module, writer))


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _all_of(module: Module, writer: Writer) -> Iterator[str]:
    for statement in module.statements:
        if writer.counts(statement.node) and not is_import(statement.node):
            yield f"{sorted(statement.bound)} {writer.statement(statement)}"


@dataclass
class _Reach:
    """The definitions that are reached, in the order in which they are met."""

    modules: Modules
    known: Uses
    uses: Uses = field(default_factory=Uses)

    def __post_init__(self) -> None:
        self._numbers: dict[Symbol, int] = {}
        self._texts: dict[Symbol, str] = {}
        self._effects: list[str] = []

    def follow(self, start: Module, entry: str) -> None:
        self._number((start.name, entry))
        self._write_all()
        modules = self._imported(start)
        effects = {module.name: self._effect(module) for module in modules}
        # Where several modules act, which one acts first may count; otherwise the order of imports does not.
        acting = [module.name for module in modules if any(self._only_acts(module, item) for item in module.statements)]
        others = [text for name, text in effects.items() if text and name not in acting]
        self._effects = [*(effects[name] for name in acting), *sorted(others)]
        self._write_all()

    def texts(self) -> Iterator[str]:
        yield from (self._texts[symbol] for symbol in self._numbers)
        yield from self._effects

    def _number(self, symbol: Symbol) -> int:
        return self._numbers.setdefault(symbol, len(self._numbers))

    def _write_all(self) -> None:
        """Write what was met and is not written yet; that may meet more."""
        while True:
            for kind, names in ((WHOLE, self.uses.unresolved), (ALL, self.uses.opened)):
                for name in sorted(names):
                    self._number((name, kind))
            waiting = [symbol for symbol in self._numbers if symbol not in self._texts]
            if not waiting:
                return
            for symbol in waiting:
                self._texts[symbol] = self._text(symbol, self._number)

    def _text(self, symbol: Symbol, number: _Number) -> str:
        module = self.modules.find(symbol[0])
        assert module is not None  # noqa: S101  only names of modules that were found get a number
        if symbol[1] in (WHOLE, ALL):
            return self._whole(module, symbol[1] == ALL, number)
        bound = [statement for statement in module.statements if symbol[1] in statement.bound]
        writer = self._writer(module, number)
        return ";".join(writer.statement(statement, symbol[1]) for statement in bound) or f"none {symbol[1]}"

    def _whole(self, module: Module, imports: bool, number: _Number) -> str:
        others = [*self._stars(module), *(self.modules.below(module) if imports else ())]
        more = [f"{number((found.name, ALL))}" for found in others]
        writer = self._writer(module, number, verbatim=True)
        return ";".join([*_all_of(module, writer), writer.imports() if imports else "", *more])

    def _stars(self, module: Module) -> list[Module]:
        return [found for name in module.bound.stars if (found := self.modules.find(name))]

    def _writer(self, module: Module, number: _Number, verbatim: bool = False) -> Writer:
        if module.bound.stars:
            self.uses.unresolved.add(module.name)
        return Writer(self.modules, module, number, self.known, self.uses, verbatim)

    def _imported(self, start: Module) -> list[Module]:
        """All modules that are imported in the end, in the order in which they are."""
        found = {item.name: item for item in self.modules.imported_by(start)}
        for name in sorted({name for name, _ in self._numbers} - set(found)):
            module = self.modules.find(name)
            assert module is not None  # noqa: S101
            found |= {item.name: item for item in self.modules.imported_by(module) if item.name not in found}
        return [*found.values()]

    def _effect(self, module: Module) -> str:
        """What a module does while it is imported, other than to bind names that nobody asks for.

        What only this refers to has numbers of its own: which module comes before which does not count.
        """
        effects = [statement for statement in module.statements if self._only_acts(module, statement)]
        own: dict[Symbol, int] = {}

        def number(symbol: Symbol) -> int:
            return self._numbers[symbol] if symbol in self._numbers else -1 - own.setdefault(symbol, len(own))

        writer = self._writer(module, number)
        texts = [writer.statement(statement) for statement in effects]
        written: set[Symbol] = set()
        while waiting := [symbol for symbol in own if symbol not in written]:
            written.update(waiting)
            texts += [f"{number(symbol)}:{self._text(symbol, number)}" for symbol in waiting]
        numbers = {symbol[1]: number(symbol) for symbol in (*self._numbers, *own) if symbol[0] == module.name}
        return ";".join([*texts, *self._order(module, numbers)])

    def _only_acts(self, module: Module, statement: Statement) -> bool:
        """Whether a statement acts, and binds nothing that is asked for: otherwise it is written where the name is."""
        wanted = any((module.name, name) in self._numbers for name in statement.bound)
        return not wanted and acts(module, statement.node)

    def _order(self, module: Module, numbers: dict[str, int]) -> Iterator[str]:
        """Before and after which of the statements that change something stand those whose result depends on it."""
        above: list[int] = []
        changes = 0
        for statement in module.statements:
            bound = sorted(numbers[name] for name in statement.bound if name in numbers)
            again = any(name in numbers and statement.before.get(name) for name in statement.bound)
            if again or acts(module, statement.node):
                yield f"{sorted(above)}!{bound}"
                changes, above = changes + 1, []
            elif bound and depends(module, statement.node):
                above += bound
        if changes and above:
            yield f"{sorted(above)}"
