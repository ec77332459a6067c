"""What a score is of, and the names that follow from it: one typed key for measuring, records, tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

Kind = Literal[
    "rmse", "mse", "mae", "crps", "bias", "spread", "increment", "specdiv", "hydrostatic", "geostrophic",
]  # fmt: skip
Of = Literal["state", "increment"]
Part = Literal["truth", "mean", "members"]
Quantity = Literal["radial", "power", "spectrum"]

_SQUARES: Final[dict[str, str]] = {"rmse": "mse", "spread": "variance"}
"""What is kept of kinds that are roots: their squares, whose means over dates have a meaning."""
_ROOTS: Final = ("rmse", "spread", "increment", "hydrostatic", "geostrophic")


@dataclass(frozen=True)
class Score:
    """One score of an analysis.

    withheld: at the withheld places, weighted with their number, and not on the grid. relative: of what is divided by
    σ_b at the lead; only relative scores, and SpecDiv, may be pooled over channels. of: the states, or the increments
    against x_t − x_b. part: of the mean or the members, for kinds that have both.
    """

    kind: Kind
    withheld: bool = False
    relative: bool = False
    of: Of = "state"
    part: Part | None = None

    @property
    def name(self) -> str:
        """How tables call it, such as `withheld_nrmse` or `specdiv_increment_members`."""
        return self._written(self.kind)

    @property
    def key(self) -> str:
        """How records call what is kept of it for a date."""
        return self._written(_SQUARES.get(self.kind, self.kind))

    @property
    def root(self) -> bool:
        """Whether it is the root of the mean over dates."""
        return self.kind in _ROOTS

    @property
    def weight(self) -> str | None:
        """The key of the weights of dates and channels, None where all count alike."""
        return WITHHELD_COUNT if self.withheld else None

    @property
    def pooled(self) -> bool:
        """Whether it may be pooled over channels."""
        return self.relative or self.kind == "specdiv"

    @property
    def alone(self) -> Score:
        """The score of an analysis without members that says the same: it is its only member."""
        mean = replace(self, part="mean") if self.part == "members" else self
        return replace(mean, kind="mae") if self.kind == "crps" else mean

    def _written(self, kind: str) -> str:
        end = "".join(f"_{word}" for word in ("increment" if self.of == "increment" else None, self.part) if word)
        return f"{'withheld_' if self.withheld else ''}{'n' if self.relative else ''}{kind}{end}"


WITHHELD_COUNT: Final = "withheld_count"


def spectral_key(quantity: Quantity, of: Of, part: Part) -> str:
    """How records call a spectrum. radial: the bins of SpecDiv. power: by band. spectrum: by total wavenumber."""
    return f"{quantity}_{'increment_' if of == 'increment' else ''}{part}"


def _errors() -> Iterator[Score]:
    for withheld in (False, True):
        for kind in ("rmse", "mse", "mae", "crps"):
            yield from (Score(kind, withheld, relative) for relative in (False, True))
        yield Score("bias", withheld)


SCORES: Final = (
    *_errors(),
    *(Score("specdiv", of=of, part=part) for of in ("state", "increment") for part in ("mean", "members")),
)
"""By channel, with ratios and intervals (but the bias)."""
SCALARS: Final = tuple(
    Score(kind, part=part) for kind in ("hydrostatic", "geostrophic") for part in ("mean", "members")
)
"""Of a date, with ratios and intervals: root mean square of the residual's difference to the truth's."""
PLAIN: Final = (Score("spread"), Score("spread", relative=True), Score("increment", relative=True))
"""By channel, without ratios: of ensembles, and the size of the (mean) increment."""
CONSISTENCY: Final = ("chi2_innovation", "chi2_residual", "desroziers_o", "desroziers_b")
"""Of a date; 1 is right, so that no ratio says who is better."""
RMSE: Final = Score("rmse", relative=True)
CRPS: Final = Score("crps", relative=True)
"""The two that summaries compare by."""
