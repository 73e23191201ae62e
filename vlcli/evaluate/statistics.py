"""Uncertainty of a measured value: bootstrap over independent units, paired differences, intervals over seeds.

A unit is what was drawn independently: an image with its five captions is one unit, not five. Resampling units and not
rows keeps intervals honest where several rows share an image. A statistic is a function of the *multiplicities* of
the units in a resample, `[R, U] -> [R]`, so all resamples are computed at once and several statistics can share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vlcli.errors import VlcliError

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Statistic = Callable[[Array], Array]
"""Multiplicities of the units `[R, U]` to one value per resample `[R]`."""
Method = Literal["percentile", "bca"]

RESAMPLES = 2000
BLOCK_ELEMENTS = 4_000_000
"""Most multiplicities held at once (32 MB): 2,000 resamples of 100,000 units are made in 50 blocks."""

BCA_UNITS = 10_000
"""Above this number of units the correction is far below the interval's own noise, and its jackknife would cost time
quadratic in the number of units."""


@dataclass(frozen=True)
class Metric:
    """A measured value.

    Attributes:
        value: the estimate on all units.
        ci95: its 95 % interval, or None when none was asked for.
        chance: the exact value that guessing would reach, or None where there is no such thing.
        higher_is_better: False for ranks and losses.
    """

    value: float
    ci95: tuple[float, float] | None = None
    chance: float | None = None
    higher_is_better: bool = True

    def as_json(self) -> dict[str, Any]:
        """The metric as `vlcli eval --json` prints it."""
        return {"value": self.value, "ci95": list(self.ci95) if self.ci95 else None, "chance": self.chance}


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Statistic:
    """The statistic `sum of numerator / sum of denominator`, both given per unit `[U]`."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)

    def statistic(counts: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = (counts @ top) / (counts @ bottom)
        return found

    return statistic


def mean_of_rows(values: npt.ArrayLike, units: npt.ArrayLike, n_units: int) -> Statistic:
    """The mean over rows, where row i (of value `values[i]`) belongs to unit `units[i]`."""
    owners = np.asarray(units, np.int64)
    sums = np.bincount(owners, weights=np.asarray(values, np.float64), minlength=n_units)
    return ratio(sums, np.bincount(owners, minlength=n_units))


def median_of_rows(values: npt.ArrayLike, units: npt.ArrayLike, n_units: int) -> Statistic:
    """The median over rows that belong to units; for an even number of rows the middle of the two middle values."""
    order = np.argsort(np.asarray(values, np.float64), kind="stable")
    ordered = np.asarray(values, np.float64)[order]
    owners = np.asarray(units, np.int64)[order]

    def of_block(counts: Array) -> Array:
        cumulative = np.cumsum(counts[:, owners], axis=1)
        total = cumulative[:, -1:]
        # Rows number 1 … total in this resample; the median is between rows ceil(total / 2) and floor(total / 2) + 1.
        low = np.argmax(cumulative >= np.ceil(total / 2), axis=1)
        high = np.argmax(cumulative >= np.floor(total / 2) + 1, axis=1)
        found: Array = (ordered[low] + ordered[high]) / 2
        found[total[:, 0] == 0] = np.nan
        return found

    def statistic(counts: Array) -> Array:
        # There may be many more rows than units, so the block of resamples is divided again.
        size = max(1, BLOCK_ELEMENTS // max(1, len(owners)))
        return np.concatenate([of_block(counts[start : start + size]) for start in range(0, len(counts), size)])

    return statistic


def mean_of_groups(values: npt.ArrayLike, groups: npt.ArrayLike, n_groups: int) -> Statistic:
    """The mean over groups (classes) of the mean over their units: macro accuracy. Groups absent from a resample are
    left out of it. `values` and `groups` are per unit `[U]`."""
    from scipy.sparse import csr_matrix

    value, group = np.asarray(values, np.float64), np.asarray(groups, np.int64)
    rows = np.arange(len(value))
    sums = csr_matrix((value, (rows, group)), shape=(len(value), n_groups))
    sizes = csr_matrix((np.ones(len(value)), (rows, group)), shape=(len(value), n_groups))

    def statistic(counts: Array) -> Array:
        top, bottom = (counts @ sums), (counts @ sizes)
        present = bottom > 0
        means = np.divide(top, bottom, out=np.zeros_like(top), where=present)
        found: Array = means.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return found

    return statistic


def bootstrap(
    statistic: Statistic, units: int, *, resamples: int = RESAMPLES, seed: int = 0, method: Method = "bca",
    level: float = 0.95,
) -> tuple[float, float]:  # fmt: skip
    """The bootstrap interval of one statistic over `units` independent units; see `bootstrap_all`."""
    return bootstrap_all({"": statistic}, units, resamples=resamples, seed=seed, method=method, level=level)[""]


def bootstrap_all(
    statistics: Mapping[str, Statistic], units: int, *, resamples: int = RESAMPLES, seed: int = 0,
    method: Method = "bca", level: float = 0.95,
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """Intervals of several statistics over the same resamples.

    `bca` corrects the percentile interval for bias and skewness (Efron 1987, "Better Bootstrap Confidence
    Intervals"); it falls back to `percentile` where the correction is undefined (all resamples on one side of the
    value) or not needed (above 10,000 units). Deterministic for a seed.

    Raises:
        VlcliError: E101 when there is no unit, E102 when `resamples` is below 100.
    """
    if units < 1:
        raise VlcliError("E101", "", "there is nothing to measure: no item was left", "look at the refusals above")
    if resamples < 100:
        raise VlcliError(
            "E102", "--bootstrap", f"{resamples} resamples give no usable 95 % interval", "use 1000 or more"
        )
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_ELEMENTS // units)
    drawn: dict[str, list[Array]] = {name: [] for name in statistics}
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        picks = generator.integers(0, units, size=(size, units))
        picks += (np.arange(size) * units)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        for name, statistic in statistics.items():
            drawn[name].append(statistic(counts))
    return {
        name: _interval(np.concatenate(drawn[name]), statistic, units, method, level)
        for name, statistic in statistics.items()
    }


def _interval(draws: Array, statistic: Statistic, units: int, method: Method, level: float) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return (float("nan"), float("nan"))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and 1 < units <= BCA_UNITS:
        tails = _bca_tails(draws, statistic, units, tails)
    low, high = np.quantile(draws, tails)
    return (float(low), float(high))


def _bca_tails(draws: Array, statistic: Statistic, units: int, tails: Array) -> Array:
    """The quantiles of `draws` to read instead of `tails`."""
    from scipy.stats import norm

    value = statistic(np.ones((1, units)))[0]
    # Draws equal to the value count half, which keeps the correction finite and right for discrete statistics.
    below = ((draws < value).sum() + 0.5 * (draws == value).sum()) / len(draws)
    if not 0 < below < 1:
        return tails
    jackknife = _jackknife(statistic, units)
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum())
    if not np.isfinite(spread) or spread == 0:
        return tails
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    bias = norm.ppf(below)
    shifted = bias + norm.ppf(tails)
    corrected: Array = norm.cdf(bias + shifted / (1 - acceleration * shifted))
    return corrected if np.all(np.isfinite(corrected)) else tails


def _jackknife(statistic: Statistic, units: int) -> Array:
    """The statistic without each unit in turn `[U]`, in blocks of bounded size."""
    block = max(1, BLOCK_ELEMENTS // units)
    values = []
    for start in range(0, units, block):
        rows = np.arange(start, min(start + block, units))
        counts = np.ones((len(rows), units))
        counts[np.arange(len(rows)), rows] = 0
        values.append(statistic(counts))
    return np.concatenate(values)


def proportion_bounds(value: float, units: int, level: float = 0.95) -> tuple[float, float] | None:
    """The Clopper-Pearson interval for a proportion that is exactly 0 or 1 over `units`, else None.

    The bootstrap of identical outcomes has no width: 20 hits of 20 would claim to be certain. The exact interval does
    not.
    """
    if value not in (0.0, 1.0) or units < 1:
        return None
    from scipy.stats import binomtest

    interval = binomtest(units if value == 1.0 else 0, units).proportion_ci(level, method="exact")
    return (float(interval.low), float(interval.high))


def measure(
    statistics: Mapping[str, Statistic], units: int, *, chance: Mapping[str, float | None] | None = None,
    proportions: Sequence[str] = (), lower_is_better: Sequence[str] = (), resamples: int = RESAMPLES, seed: int = 0,
    method: Method = "bca",
) -> dict[str, Metric]:  # fmt: skip
    """Value, 95 % interval and chance of each statistic over the same units.

    Args:
        proportions: names whose values are proportions; at exactly 0 or 1 they get the exact binomial interval.
        lower_is_better: names of ranks and losses.
        resamples: 0 leaves the intervals out.
    """
    if units < 1:
        raise VlcliError("E101", "", "there is nothing to measure: no item was left", "look at the refusals above")
    values = {name: float(statistic(np.ones((1, units)))[0]) for name, statistic in statistics.items()}
    intervals: dict[str, tuple[float, float] | None] = dict.fromkeys(statistics)
    if resamples:
        intervals.update(bootstrap_all(statistics, units, resamples=resamples, seed=seed, method=method))
        for name in proportions:
            exact = proportion_bounds(values[name], units)
            if exact is not None:
                intervals[name] = exact
    levels = chance or {}
    return {name: Metric(value, intervals[name], levels.get(name), name not in lower_is_better)
            for name, value in values.items()}  # fmt: skip


def paired_difference(
    first: npt.ArrayLike, second: npt.ArrayLike, units: npt.ArrayLike | None = None, *, resamples: int = RESAMPLES,
    seed: int = 0, method: Method = "bca",
) -> Metric:  # fmt: skip
    """The mean of `first - second` over rows that both were measured on, with its interval over units.

    `units[i]` (0 … U-1) says which unit row i belongs to; without it every row is one. Chance is 0: no difference.

    Raises:
        VlcliError: E103 when the two do not have the same rows.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise VlcliError("E103", "", f"a paired comparison needs the same rows, got {a.shape} and {b.shape}")
    owners = np.arange(len(a)) if units is None else np.unique(np.asarray(units), return_inverse=True)[1]
    count = int(owners.max()) + 1 if len(owners) else 0
    statistic = mean_of_rows(a - b, owners, count)
    return measure({"": statistic}, count, chance={"": 0.0}, resamples=resamples, seed=seed, method=method)[""]


def over_seeds(values: Sequence[float], level: float = 0.95) -> Metric:
    """Mean over independent seeds with Student's t interval; one seed gives no interval."""
    found = np.asarray(values, np.float64)
    if not len(found):
        raise VlcliError("E101", "", "there is nothing to measure: no seed was run")
    mean = float(found.mean())
    if len(found) < 2:
        return Metric(mean)
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))
    return Metric(mean, (mean - half, mean + half))
