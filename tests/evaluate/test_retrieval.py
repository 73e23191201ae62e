import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlcli.errors import VlcliError
from vlcli.evaluate.retrieval import (
    Ranks,
    chance_median_rank,
    direction_metrics,
    expected_rank,
    hit_probability,
    rank,
    reciprocal_rank,
    retrieval_metrics,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(scores: list[int], right: list[bool], k: int) -> tuple[float, float, float]:
    """Hit probability, mean rank and mean reciprocal rank over all orders that sort the scores."""
    hits, ranks = [], []
    for order in itertools.permutations(range(len(scores))):
        if any(scores[a] < scores[b] for a, b in itertools.pairwise(order)):
            continue
        first = next(place for place, index in enumerate(order, 1) if right[index])
        hits.append(first <= k)
        ranks.append(first)
    return float(np.mean(hits)), float(np.mean(ranks)), float(np.mean([1 / r for r in ranks]))


scored = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
    lambda pairs: any(right for _, right in pairs)
)


@settings(max_examples=60, deadline=None)
@given(scored, st.integers(1, 6))
def test_expectations_over_ties_equal_brute_force(pairs: list[tuple[int, bool]], k: int) -> None:
    scores, right = [s for s, _ in pairs], [r for _, r in pairs]
    best = max(s for s, r in pairs if r)
    found = Ranks(
        *(np.array([value]) for value in (
            sum(s > best for s, r in pairs), sum(s == best for s, r in pairs if not r),
            sum(s == best for s, r in pairs if r), sum(right))), len(pairs),
    )  # fmt: skip
    hit, mean, reciprocal = brute_force(scores, right, k)
    assert hit_probability(found, k)[0] == pytest.approx(hit)
    assert expected_rank(found)[0] == pytest.approx(mean)
    assert reciprocal_rank(found)[0] == pytest.approx(reciprocal)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 64, 640, 100_000]))
def test_blocked_ranks_equal_the_full_matrix(seed: int, n_queries: int, n_candidates: int, block: int) -> None:
    generator = np.random.default_rng(seed)
    # Small integer coordinates give many exact ties.
    queries = unit(generator.integers(-1, 2, (n_queries, 3)) + 1e-9 + np.array([2, 0, 0]))
    candidates = unit(generator.integers(-1, 2, (n_candidates, 3)) + np.array([2, 0, 0]))
    groups = generator.integers(0, 3, n_candidates)
    of_query = generator.choice(groups, n_queries)
    found = rank(queries, candidates, of_query, groups, block_elements=block)
    scores = queries.astype(np.float64) @ candidates.T.astype(np.float64)
    for i in range(n_queries):
        right = groups == of_query[i]
        best = scores[i][right].max()
        assert found.greater[i] == (scores[i][~right] > best + 1e-6).sum()
        assert found.tied_wrong[i] == (np.abs(scores[i][~right] - best) <= 1e-6).sum()
        assert found.tied_right[i] == (np.abs(scores[i][right] - best) <= 1e-6).sum()
        assert found.right[i] == right.sum()


def test_constant_embeddings_score_exactly_chance() -> None:
    generator = np.random.default_rng(0)
    vector = unit(generator.normal(size=(1, 64)))
    owners = np.repeat(np.arange(30), 3)
    metrics = retrieval_metrics(
        np.repeat(vector, 90, 0), np.repeat(vector, 30, 0), owners, item_name="images", resamples=0
    )
    assert len(metrics) == 10
    for name, metric in metrics.items():
        if "images_to_text/median" not in name:
            assert metric.value == pytest.approx(metric.chance), name
    assert metrics["text_to_images/R@1"].chance == pytest.approx(1 / 30)
    assert metrics["images_to_text/R@1"].chance == pytest.approx(3 / 90)
    assert metrics["text_to_images/median_rank"].chance == pytest.approx(15.5)


def test_chance_is_what_random_embeddings_reach() -> None:
    generator = np.random.default_rng(1)
    owners = np.repeat(np.arange(200), 5)
    texts, items = unit(generator.normal(size=(1000, 128))), unit(generator.normal(size=(200, 128)))
    metrics = retrieval_metrics(texts, items, owners, item_name="images", resamples=0)
    for name in ("text_to_images/R@10", "images_to_text/R@10", "text_to_images/mrr", "images_to_text/mrr"):
        assert metrics[name].value == pytest.approx(metrics[name].chance, abs=0.03), name
    for name in ("text_to_images/median_rank", "images_to_text/median_rank"):
        assert metrics[name].value == pytest.approx(metrics[name].chance, rel=0.25), name


def test_pessimistic_ties_put_the_right_one_last() -> None:
    same = unit(np.ones((4, 3)))
    ranks = rank(same, same, np.arange(4), np.arange(4))
    assert hit_probability(ranks, 1, "pessimistic").tolist() == [0, 0, 0, 0]
    assert expected_rank(ranks, "pessimistic").tolist() == [4, 4, 4, 4]
    assert reciprocal_rank(ranks, "pessimistic").tolist() == [0.25] * 4


def test_perfect_embeddings() -> None:
    items = unit(np.eye(12))
    metrics = retrieval_metrics(np.repeat(items, 2, 0), items, np.repeat(np.arange(12), 2), item_name="images")
    assert metrics["text_to_images/R@1"].value == metrics["images_to_text/R@1"].value == 1.0
    assert metrics["images_to_text/median_rank"].value == 1
    interval = metrics["text_to_images/R@1"].ci95
    assert interval is not None and interval[0] < 0.8  # 12 images do not prove 100 %


def test_intervals_are_over_items_and_not_over_captions() -> None:
    generator = np.random.default_rng(0)
    items = unit(generator.normal(size=(40, 8)))
    noisy = items + 0.35 * generator.normal(size=items.shape).astype(np.float32)
    once = retrieval_metrics(unit(noisy), items, np.arange(40))["text_to_items/R@1"]
    # Repeating every caption five times adds no information.
    five = retrieval_metrics(np.repeat(unit(noisy), 5, 0), items, np.repeat(np.arange(40), 5))["text_to_items/R@1"]
    assert five.value == pytest.approx(once.value)
    assert five.ci95 == pytest.approx(once.ci95)


def test_items_without_text_are_candidates_only() -> None:
    items = unit(np.array([[1, 0], [0.9, 0.1], [0, 1]]))
    metrics = retrieval_metrics(unit(np.array([[0.9, 0.1]])), items, [0], resamples=0)
    assert metrics["text_to_items/R@1"].value == 0.0
    assert metrics["text_to_items/median_rank"].value == 2
    assert metrics["items_to_text/R@1"].value == 1.0


def test_refuses_what_can_not_be_scored() -> None:
    items = unit(np.eye(3))
    with pytest.raises(VlcliError, match="E111"):
        rank(items, items, [0, 1, 7], [0, 1, 2])
    broken = items.copy()
    broken[1, 1] = np.nan
    with pytest.raises(VlcliError, match="E112"):
        rank(items, broken, [0, 1, 2], [0, 1, 2])
    with pytest.raises(VlcliError, match="E101"):
        retrieval_metrics(np.zeros((0, 3), np.float32), items, [])


def test_median_chance_for_several_right_candidates() -> None:
    ranks = Ranks(np.zeros(1, int), np.array([6]), np.array([4]), np.array([4]), 10)
    exact = hit_probability(ranks, 1)[0], hit_probability(ranks, 2)[0]
    assert exact == (pytest.approx(0.4), pytest.approx(1 - (6 * 5) / (10 * 9)))
    assert chance_median_rank(ranks) == 2.0


def test_median_rank_is_lower_better() -> None:
    items = unit(np.eye(5))
    metrics = direction_metrics(rank(items, items, np.arange(5), np.arange(5)), np.arange(5), ks=(1,))
    assert not metrics["median_rank"].higher_is_better and metrics["R@1"].higher_is_better
