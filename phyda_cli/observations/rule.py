"""A rule that names rows, for `--withhold`: comparisons of columns, joined by and, or, not and parentheses.

    rule       :=  term {or term}            term := factor {and factor}
    factor     :=  not factor | ( rule ) | comparison
    comparison :=  column [% number] (== | != | < | <= | > | >=) value
                |  column [% number] [not] in ( value, … )
    column     :=  station report variable source      texts
                |  pressure latitude longitude elevation row       numbers, in Pa, degrees, m

`station % 5` is the remainder of the station's number; of a name without one that of its CRC-32, which is the same
everywhere. A value is a number, a quoted text or a bare word. Longitudes are 0 to 360. A number that a row lacks fits
no comparison; texts know only == and != (and in), without case.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from phyda_cli.errors import UsageError
from phyda_cli.observations.kinds import of_each
from phyda_cli.observations.table import Observations

Mask = NDArray[np.bool_]
Values = NDArray[np.float64] | NDArray[np.object_]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?P<word>[\w.:*/-]+)"
    r"|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<sign>==|!=|<=|>=|[<>%(),]))"
)
_TEXTS: Final = ("station", "report", "variable", "source")
_NUMBERS: Final = ("pressure", "latitude", "longitude", "elevation", "row")
_COMPARISONS: Final[dict[str, Callable[[Values, float | str], NDArray[np.bool_]]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DEEPEST: Final = 50


class _Token(NamedTuple):
    """kind: number, word, text, sign or end. at: its place in the rule, from 1."""

    kind: str
    text: str
    at: int


def matching(observations: Observations, rule: str, *, option: str = "--withhold") -> Mask:
    """(n,) the rows that a rule names.

    Raises UsageError naming the option, the character and what should stand there.
    """
    return _Reader(rule, option, observations).read()


class _Reader:
    """Reads a rule from left to right and holds the rows against it."""

    def __init__(self, rule: str, option: str, observations: Observations) -> None:
        self._rule, self._option, self._o = rule, option, observations
        self._tokens = list(self._split())
        self._next, self._depth = 0, 0

    def read(self) -> Mask:
        result = self._or()
        if self._token.kind != "end":
            raise self._error("and, or, or the end")
        return result

    def _split(self) -> list[_Token]:
        tokens, place = [], 0
        while place < len(self._rule.rstrip()):
            found = _TOKEN.match(self._rule, place)
            if found is None:
                at = place + len(self._rule[place:]) - len(self._rule[place:].lstrip())
                raise UsageError(
                    f"{self._option} {self._rule!r}: character {at + 1}, {self._rule[at]!r}, means nothing"
                )
            kind = str(found.lastgroup)
            own = "text" if kind in ("double", "single") else kind
            tokens.append(_Token(own, found[kind], found.start(kind) + 1))
            place = found.end()
        return [*tokens, _Token("end", "", len(self._rule) + 1)]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _skip(self, *words: str) -> bool:
        """Return whether the next token is one of these, which is then behind us."""
        here = self._token.kind in ("word", "sign") and self._token.text.casefold() in words
        self._next += here
        return here

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise self._error(sign)

    def _error(self, expected: str) -> UsageError:
        token = self._token
        there = f"{token.text!r} stands" if token.kind != "end" else "the rule ends"
        return UsageError(f"{self._option} {self._rule!r}: {there} at character {token.at} instead of {expected}")

    def _or(self) -> Mask:
        result = self._and()
        while self._skip("or"):
            result = result | self._and()
        return result

    def _and(self) -> Mask:
        result = self._factor()
        while self._skip("and"):
            result = result & self._factor()
        return result

    def _factor(self) -> Mask:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UsageError(f"{self._option}: the rule is nested more than {_DEEPEST} deep")
        if self._skip("not"):
            result = ~self._factor()
        elif self._skip("("):
            result = self._or()
            self._expect(")")
        else:
            result = self._comparison()
        self._depth -= 1
        return result

    def _comparison(self) -> Mask:
        name = self._token.text.casefold()
        if self._token.kind != "word" or name not in (*_TEXTS, *_NUMBERS):
            raise self._error(f"a column ({', '.join((*_TEXTS, *_NUMBERS))})")
        self._next += 1
        values = self._column(name)
        if self._skip("%"):
            values = self._remainder(name, values)
        negated = self._skip("not")
        if negated or (self._token.kind == "word" and self._token.text.casefold() == "in"):
            if not self._skip("in"):
                raise self._error("in")
            return (self._among(values) ^ negated) & ~_missing(values)
        if self._token.text not in _COMPARISONS or self._token.kind != "sign":
            raise self._error("a comparison (== != < <= > >= in)")
        if values.dtype == object and self._token.text not in ("==", "!="):
            raise self._error("== or != (texts have no order)")
        compare = _COMPARISONS[self._take().text]
        result = np.asarray(compare(values, self._value(values)), dtype=bool)
        return result & ~_missing(values)

    def _among(self, values: Values) -> Mask:
        self._expect("(")
        result = np.asarray(values == self._value(values), dtype=bool)
        while self._skip(","):
            result |= np.asarray(values == self._value(values), dtype=bool)
        self._expect(")")
        return result

    def _value(self, values: Values) -> float | str:
        token = self._token
        if values.dtype == object:
            if token.kind not in ("number", "word", "text"):
                raise self._error("a value")
            return self._take().text.casefold()
        if token.kind != "number":
            raise self._error("a number")
        return float(self._take().text)

    def _remainder(self, name: str, values: Values) -> Values:
        token = self._token
        if token.kind != "number" or not float(token.text).is_integer() or float(token.text) < 1:
            raise self._error("a whole number from 1")
        self._next += 1
        if name not in ("station", "row"):
            raise UsageError(f"{self._option} {self._rule!r}: % is for station and row, not for {name}")
        if name == "row":
            return np.asarray(np.mod(values.astype(np.float64), float(token.text)))
        divisor = int(float(token.text))

        def remainder(station: str) -> int:
            number = int(station) if station.isascii() and station.isdigit() else crc32(station.encode())
            return number % divisor

        return of_each(values, remainder, np.float64)

    def _column(self, name: str) -> Values:
        o = self._o
        if name == "source":
            names = [PurePath(source).name.casefold() for source in o.sources]
            return np.array([*names, ""], dtype=object)[o.source]
        if name in _TEXTS:
            return of_each(getattr(o, name), str.casefold, object)
        return np.asarray(getattr(o, name), dtype=np.float64)


def _missing(values: Values) -> Mask:
    return np.zeros(values.shape, dtype=bool) if values.dtype == object else np.isnan(values.astype(np.float64))
