"""The loop: micro-batches, memory, averages, stages, optimizers, schedules, precision, frozen towers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from vlcli.errors import VlcliError
from vlcli.train.ema import WeightAverage
from vlcli.train.method import Stage, freeze, set_trainable, training_mode
from vlcli.train.optim import build_optimizer, learning_rate_factor, parameter_groups, stage_lengths


def close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], tolerance: float) -> None:
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=tolerance, rtol=0)


def test_training_learns_and_reports(train: Any) -> None:
    run = train("train.steps=80", "optim.lr=1e-2", "train.eval_every=40")
    curve = run.curve()
    assert len(curve) == 80 and curve[-5:].mean() < 0.5 * curve[:5].mean()
    assert run.trained.metrics["test/R@1"] > 3 / 12  # chance 1/12
    assert [record["step"] for record in run.events("validation")] == [40]
    assert run.events("data") == [{"event": "data", "train": 24, "validation": 12, "test": 12}]


@pytest.mark.parametrize("size", ["1", "3", '"auto"'])
def test_micro_batches_give_the_whole_batch(train: Any, size: str) -> None:
    """Curves and weights of 12 steps; 3 does not divide the batch of 8. Plain steps, whose errors do not grow."""
    whole = train("train.micro_batch=8", 'optim.use="sgd"')
    parts = train(f"train.micro_batch={size}", 'optim.use="sgd"')
    torch.testing.assert_close(parts.curve(), whole.curve(), atol=1e-5, rtol=0)
    close(parts.weights, whole.weights, 1e-5)


def test_micro_batches_draw_dropout_once(train: Any) -> None:
    """The two encodings of GradCache see the same dropout, so the loss goes down as it should."""
    run = train("train.micro_batch=2", "train.steps=40", "towers.numbers.options.dropout=0.2")
    assert run.curve()[-5:].mean() < 0.8 * run.curve()[:5].mean()


def test_running_out_of_memory_changes_nothing(train: Any) -> None:
    """A tower that fails above two examples: 8 → 4 → 2, and the same weights as with enough memory."""
    calm = train('optim.use="sgd"')
    tight = train('optim.use="sgd"', "towers.numbers.options.memory=2", 'train.micro_batch="auto"')
    assert [record["micro_batch"] for record in tight.events("out_of_memory")] == [4, 2]
    torch.testing.assert_close(tight.curve(), calm.curve(), atol=1e-6, rtol=0)
    close(tight.weights, calm.weights, 1e-6)


def test_running_out_of_memory_keeps_the_dropout(train: Any) -> None:
    options = ("towers.numbers.options.dropout=0.3", 'optim.use="sgd"')
    calm = train(*options, "train.micro_batch=2")
    tight = train(*options, "train.micro_batch=2", "towers.numbers.options.memory=2")
    assert not tight.events("out_of_memory") and tight.bytes == calm.bytes
    halved = train(*options, "train.micro_batch=4", "towers.numbers.options.memory=2")
    assert len(halved.events("out_of_memory")) == 1 and halved.bytes == calm.bytes


def test_a_single_example_that_does_not_fit_is_an_error(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import train_toys

    def full(self: Any, inputs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(train_toys.Net, "forward", full)
    with pytest.raises(VlcliError, match=r"X201.*micro_batch.*1 examples"):
        train()


def test_a_method_that_can_not_be_cut_says_so(train: Any) -> None:
    whole = ("train.micro_batch=8", 'method.use="toys/two-turns"')
    with pytest.raises(VlcliError, match=r"T108.*micro_batch"):
        train(*whole, "train.micro_batch=4", unset=("objective",))
    with pytest.raises(VlcliError, match=r"X201.*batch_size"):
        train(*whole, "towers.numbers.options.memory=2", unset=("objective",))


def test_each_optimizer_sees_its_own_gradients_only(train: Any) -> None:
    """The space's loss leaves gradients in the critic; they must be gone when the critic's turn comes."""
    run = train('method.use="toys/two-turns"', "optim.lr=0.01", "train.grad_clip=0", unset=("objective",))
    assert set(run.records[1]) >= {"loss/fit", "loss/critic", "grad_norm/space", "grad_norm/critic"}
    # d critic / d bias is 0 for a difference of means, and that of the weight is the difference of mean embeddings.
    norm = run.curve("grad_norm/critic")
    assert (norm < 2.0).all()
    method = run.trained.method
    assert all(one.grad is None for one in method.parameters())
    space_turn, critic_turn = method.seen[0], method.seen[1]
    assert space_turn["critic.weight"] and critic_turn["critic.weight"]


def test_a_parameter_of_two_optimizers_is_refused(train: Any) -> None:
    with pytest.raises(VlcliError, match=r"T113.*critic.weight.*space and critic"):
        train('method.use="toys/overlapping"', unset=("objective",))


def test_the_average_is_what_is_saved(train: Any) -> None:
    plain, averaged = train(), train("train.ema=0.9")
    assert torch.equal(plain.curve(), averaged.curve())
    assert plain.bytes != averaged.bytes


def test_the_average_follows_its_formula() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0.0)
    average = WeightAverage(module, 0.5)
    expected = 0.0
    for count, value in enumerate((1.0, 2.0, 3.0), 1):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(module)
        decay = min(0.5, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * value
    assert average.shadow["weight"].item() == pytest.approx(expected)
    with average.applied(module):
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 3.0


def test_bf16_trains(train: Any) -> None:
    run = train("train.steps=60", 'train.precision="bf16"', "train.micro_batch=4")
    assert all(tensor.dtype == torch.float32 for tensor in run.weights.values())
    assert run.curve()[-5:].mean() < 0.6 * run.curve()[:5].mean()
    full = train("train.steps=60", "train.micro_batch=4")
    assert not torch.equal(run.curve(), full.curve())  # it did compute in another precision


STAGES = """
[[stages]]
name = "heads"
trainable = ["*.head.*"]
share = 1.0

[[stages]]
name = "towers"
frozen = ["*.head.*"]
share = 2.0
lr_scale = 0.1
data = { world = 1 }
"""


def test_stages_train_what_their_patterns_say(train: Any, recipe: str) -> None:
    constant = 'schedule.use="constant"'
    run = train(constant, recipe=recipe + STAGES)
    assert [record["stage"] for record in run.events("step")] == ["heads"] * 4 + ["towers"] * 8
    heads, _ = STAGES.split("\n\n")
    one, two = (train(constant, f"train.steps={steps}", recipe=recipe + heads) for steps in (1, 4))
    changed = {name for name in one.weights if not torch.equal(one.weights[name], two.weights[name])}
    assert changed and all(".head." in name for name in changed)
    # The second stage goes on from the first, with other data and without the heads.
    changed = {name for name in two.weights if not torch.equal(two.weights[name], run.weights[name])}
    assert changed and all(".encoder." in name for name in changed)
    rates = run.curve("lr")
    assert rates[3] == pytest.approx(1e-2) and rates[4] == pytest.approx(1e-3)


def test_stage_lengths_add_up() -> None:
    stages = [Stage(share=share) for share in (1, 0.001, 3)]
    for total in range(3, 60):
        lengths = stage_lengths(stages, total)
        assert sum(lengths) == total and min(lengths) >= 1
    with pytest.raises(VlcliError, match="T104"):
        stage_lengths(stages, 2)


def test_schedules() -> None:
    cosine, linear = learning_rate_factor("cosine", 10, 0.1), learning_rate_factor("linear", 0.1, 0.0)
    assert [cosine(step, 110) for step in (0, 9, 10, 60, 110)] == pytest.approx([0.1, 1, 1, 0.55, 0.1])
    assert [linear(step, 100) for step in (0, 9, 10, 55, 100)] == pytest.approx([0.1, 1, 1, 0.5, 0])
    assert learning_rate_factor("constant", 0, 0.0)(7, 9) == 1
    with pytest.raises(VlcliError, match=r"T105.*choose cosine"):
        learning_rate_factor("cosin", 0, 0)


def test_the_schedule_reaches_the_optimizer(train: Any) -> None:
    run = train('schedule.use="linear"', "schedule.warmup=4", "optim.lr=0.5", 'optim.use="sgd"')
    factors = [0.25, 0.5, 0.75, 1, 1, *(1 - step / 8 for step in range(1, 8))]
    assert run.curve("lr").tolist() == pytest.approx([0.5 * factor for factor in factors])


def test_vectors_biases_and_temperatures_get_no_weight_decay() -> None:
    module = nn.ModuleDict({"a": nn.Linear(3, 2), "norm": nn.LayerNorm(2), "b": nn.Linear(2, 2, bias=False)})
    module.register_parameter("logit_scale", nn.Parameter(torch.ones(1, 1)))
    named = list(module.named_parameters())
    groups = parameter_groups(named, 0.1, 0.2, {"b.*": {"lr": 0.3}, "a.bias": {"weight_decay": 1.0}})
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    by_name = {name: found[id(parameter)] for name, parameter in named}
    assert by_name == {
        "logit_scale": (0.1, 0.0), "a.weight": (0.1, 0.2), "a.bias": (0.1, 0.0), "norm.weight": (0.1, 0.0),
        "norm.bias": (0.1, 0.0), "b.weight": (0.3, 0.2),
    }  # fmt: skip
    assert isinstance(build_optimizer("sgd", groups, {"momentum": 0.9}), torch.optim.SGD)
    with pytest.raises(VlcliError, match="T103"):
        build_optimizer("lamb", groups, {})


@pytest.mark.parametrize("name", ["adam", "sgd", "adafactor"])
def test_every_optimizer_steps(train: Any, name: str) -> None:
    run = train(f'optim.use="{name}"', "train.steps=3")
    assert math.isfinite(run.curve()[-1]) and run.curve()[0] != run.curve()[-1]


def test_frozen_modules_rest_in_evaluation_mode() -> None:
    from train_toys import Net

    encoder = Net(4, 0.5, True, 1.0, 0, 0)
    other = Net(4, 0.5, True, 1.0, 0, 0)
    model = nn.ModuleDict({"frozen": encoder, "part": other, "head": nn.Sequential(nn.Dropout())})
    freeze(model["frozen"])
    freeze(model["part"], ("last.*",))
    set_trainable(model, Stage())
    training_mode(model)
    assert not any(part.training for part in model["frozen"].modules())
    part = model["part"]
    assert part.training and part.last.training and not part.body[1].training and not part.body[3].training
    assert model["head"][0].training
    set_trainable(nn.ModuleDict({"part": part}), Stage())
    freeze(model["head"])
    training_mode(model)
    assert model["head"][0].training  # nothing to freeze in it


def test_a_frozen_tower_is_not_changed_by_training(train: Any) -> None:
    """BatchNorm statistics stay as they were, and dropout is off, with and without cached features."""
    options = "towers.numbers.options={ batch_norm = true, dropout = 0.5 }"
    tower = (options, "towers.numbers.trainable=[]", 'optim.use="sgd"')
    live, cached = train(*tower, "train.cache_features=false"), train(*tower)
    statistics = next(value for key, value in live.weights.items() if key.endswith("running_mean"))
    assert torch.equal(statistics, torch.zeros_like(statistics))
    torch.testing.assert_close(live.curve(), cached.curve(), atol=1e-5, rtol=0)


def test_a_stage_that_rests_an_encoder_keeps_its_statistics(train: Any, recipe: str) -> None:
    stage = '[[stages]]\nname = "heads"\ntrainable = ["*.head.*"]\n'
    run = train("towers.numbers.options.batch_norm=true", recipe=recipe + stage)
    statistics = next(value for key, value in run.weights.items() if key.endswith("running_mean"))
    assert torch.equal(statistics, torch.zeros_like(statistics))
    moved = train("towers.numbers.options.batch_norm=true")
    statistics = next(value for key, value in moved.weights.items() if key.endswith("running_mean"))
    assert statistics.abs().sum() > 0


def test_what_mod_x_keeps_makes_a_difference(train: Any) -> None:
    """All four values of `keep` train through both phases, equal in the first and different after."""
    runs = {}
    for keep in ("nothing", "all", "ranked-first", "weights"):
        method = f'method={{ use = "core/mod-x", keep = "{keep}", phases = [{{ world = 0 }}, {{ world = 1 }}] }}'
        runs[keep] = train(method, "train.steps=16", unset=("objective",))
        assert {"test/phase-0/R@1", "test/phase-1/R@1"} <= set(runs[keep].trained.metrics)
    assert all(torch.equal(run.curve()[:8], runs["nothing"].curve()[:8]) for run in runs.values())
    assert len({run.bytes for run in runs.values()}) == 4
