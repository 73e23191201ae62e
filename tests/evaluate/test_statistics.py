import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap

from vlcli.errors import VlcliError
from vlcli.evaluate.statistics import (
    bootstrap,
    bootstrap_all,
    mean_of_groups,
    mean_of_rows,
    measure,
    median_of_rows,
    over_seeds,
    paired_difference,
    proportion_bounds,
    ratio,
)


def resample(counts: np.ndarray, units: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rows of a resample, written out one by one."""
    return np.concatenate([np.repeat(values[units == unit], int(times)) for unit, times in enumerate(counts)])


rows = st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 5)), min_size=5, max_size=30)


@settings(max_examples=60, deadline=None)
@given(rows, st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_row_statistics_equal_written_out_resamples(pairs: list[tuple[int, int]], counts: list[int]) -> None:
    units = np.array([unit for unit, _ in pairs])
    values = np.array([value for _, value in pairs], float)
    chosen = resample(np.array(counts), units, values)
    weights = np.array([counts], float)
    mean, median = mean_of_rows(values, units, 5)(weights)[0], median_of_rows(values, units, 5)(weights)[0]
    if not len(chosen):
        assert np.isnan(mean) and np.isnan(median)
        return
    assert mean == pytest.approx(chosen.mean())
    assert median == pytest.approx(np.median(chosen))


def test_mean_of_groups_is_macro_average_and_leaves_absent_groups_out() -> None:
    statistic = mean_of_groups([1, 0, 1, 1], [0, 0, 1, 2], 3)
    assert statistic(np.array([[1.0, 1, 1, 0]]))[0] == pytest.approx((0.5 + 1) / 2)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_interval_agrees_with_scipy(method: str) -> None:
    values = np.random.default_rng(3).exponential(size=60)
    low, high = bootstrap(ratio(values, np.ones(60)), 60, resamples=20000, seed=1, method=method)  # type: ignore[arg-type]
    other = scipy_bootstrap((values,), np.mean, n_resamples=20000, method=method, rng=np.random.default_rng(2))
    assert low == pytest.approx(other.confidence_interval.low, abs=0.015)
    assert high == pytest.approx(other.confidence_interval.high, abs=0.015)


def test_same_seed_same_interval_and_other_seed_another() -> None:
    statistic = ratio(np.arange(30.0), np.ones(30))
    assert bootstrap(statistic, 30, seed=5) == bootstrap(statistic, 30, seed=5)
    assert bootstrap(statistic, 30, seed=5) != bootstrap(statistic, 30, seed=6)


def test_blocks_do_not_change_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    statistic = ratio(np.arange(40.0), np.ones(40))
    whole = bootstrap(statistic, 40, resamples=500)
    monkeypatch.setattr("vlcli.evaluate.statistics.BLOCK_ELEMENTS", 400)
    assert bootstrap(statistic, 40, resamples=500) == pytest.approx(whole, rel=1e-12)


def test_clustered_interval_covers_where_the_row_interval_does_not() -> None:
    generator = np.random.default_rng(0)
    clusters, size, trials = 40, 5, 1000
    clustered = rowwise = 0
    for trial in range(trials):
        values = np.repeat(generator.normal(size=clusters), size) + 0.1 * generator.normal(size=clusters * size)
        units = np.repeat(np.arange(clusters), size)
        low, high = bootstrap(mean_of_rows(values, units, clusters), clusters, resamples=300, seed=trial)
        clustered += low <= 0 <= high
        count = clusters * size
        low, high = bootstrap(ratio(values, np.ones(count)), count, resamples=300, seed=trial)
        rowwise += low <= 0 <= high
    assert 0.91 < clustered / trials < 0.97
    assert rowwise / trials < 0.65


def test_paired_difference_is_narrower_than_unpaired_and_sees_the_effect() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(size=200)
    better = base + 0.05 + 0.02 * generator.normal(size=200)
    found = paired_difference(better, base)
    assert found.ci95 is not None
    assert found.value == pytest.approx(0.05, abs=0.01) and found.ci95[0] > 0
    assert found.ci95[1] - found.ci95[0] < 0.02
    with pytest.raises(VlcliError, match="E103"):
        paired_difference(better, base[:-1])


def test_paired_difference_over_clusters() -> None:
    first = np.array([1, 1, 1, 1, 0, 0], float)
    found = paired_difference(first, np.zeros(6), ["a", "a", "b", "b", "c", "c"])
    assert found.value == pytest.approx(4 / 6) and found.chance == 0.0


def test_a_perfect_proportion_keeps_an_honest_interval() -> None:
    metric = measure({"accuracy": ratio(np.ones(20), np.ones(20))}, 20, proportions=["accuracy"])["accuracy"]
    assert metric.value == 1.0 and metric.ci95 is not None
    assert metric.ci95[0] == pytest.approx(0.025 ** (1 / 20), abs=1e-6)
    assert proportion_bounds(0.5, 20) is None


def test_nothing_to_measure_and_too_few_resamples_are_refused() -> None:
    statistic = ratio(np.ones(3), np.ones(3))
    with pytest.raises(VlcliError, match="E101"):
        bootstrap(statistic, 0)
    with pytest.raises(VlcliError, match="E102"):
        bootstrap_all({"a": statistic}, 3, resamples=10)


def test_over_seeds_is_students_t() -> None:
    found = over_seeds([0.1, 0.2, 0.3])
    assert found.value == pytest.approx(0.2)
    assert found.ci95 is not None and found.ci95[1] - 0.2 == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)
    assert over_seeds([0.4]).ci95 is None


def test_many_units_take_the_percentile_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    statistic = ratio(np.random.default_rng(0).exponential(size=300), np.ones(300))
    corrected, plain = bootstrap(statistic, 300), bootstrap(statistic, 300, method="percentile")
    assert corrected != plain
    monkeypatch.setattr("vlcli.evaluate.statistics.BCA_UNITS", 299)
    assert bootstrap(statistic, 300) == plain
