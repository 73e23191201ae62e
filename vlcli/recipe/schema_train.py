"""The sections of a recipe that trains: data, towers, objective or method, optimizer, schedule, loop, stages, claim."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vlcli.recipe.fields import (
    Component,
    Name,
    Names,
    Positive,
    PositiveOrAuto,
    Rate,
    Section,
    Share,
    SomeNames,
    Table,
    array_to_tuple,
)  # fmt: skip

Filters = Annotated[tuple[Component, ...], BeforeValidator(array_to_tuple)]
Betas = Annotated[tuple[Share, Share], BeforeValidator(array_to_tuple)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(array_to_tuple), Field(min_length=1)]


class Data(Section):
    """`[data]`: what to train and test on.

    Attributes:
        use: a registered data set, a folder, or a CSV, JSONL or Parquet file.
        options: options of a registered data set.
        test_options: options that differ for the validation and test splits.
        train, validation, test: names of the splits, several joined by `+`; `validation` and `test` may be left out of
            the run with "".
        limit: use at most so many examples of each split.
        filters: registered filters, applied to the training split in order.
    """

    use: Name
    options: Table = Field(default_factory=dict)
    test_options: dict[str, Any] = Field(default_factory=dict)
    train: Name = "train"
    validation: str = "val"
    test: str = "test"
    limit: Positive | None = None
    filters: Filters = ()


class Head(Section):
    """`[towers.MODALITY.head]`: the projection from the encoder's pooled vector into the joint space."""

    use: Literal["identity", "centre", "linear", "mlp", "refine"] = "linear"
    dim: Positive | None = None
    bias: bool | None = None
    hidden: Annotated[int, Field(ge=0)] | None = None
    layers: Positive | None = None
    dropout: Share | None = None
    residual: bool | None = None
    norm: bool | None = None

    def spec(self) -> dict[str, Any]:
        """The head as `vlcli.align.projection.build_head` reads it; what was not given is left to its defaults."""
        return {"kind": self.use, **self.model_dump(exclude={"use"}, exclude_none=True)}


class Tower(Section):
    """`[towers.MODALITY]`: an encoder, what of it trains, and its head.

    Attributes:
        use: a registered encoder of this modality, or `space:NAME` for the whole tower of a space, head included.
        options: its options.
        trainable: patterns (`fnmatch`) over the encoder's parameter names; none: the encoder stays frozen.
        head: the projection head; it trains.
    """

    use: Name
    options: Table = Field(default_factory=dict)
    trainable: Names = ()
    head: Head = Head(use="identity")


class OptimGroup(Section):
    """`[optim.groups."PATTERN"]`: what differs for the parameters whose names match the pattern."""

    lr: Rate | None = None
    weight_decay: Rate | None = None


class Optim(Section):
    """`[optim]`: the optimizer. What is not given has the optimizer's own default."""

    use: Literal["adamw", "adam", "sgd", "adafactor"] = "adamw"
    lr: Rate = 1e-3
    weight_decay: Rate = 0.0
    betas: Betas | None = None
    eps: Annotated[float, Field(gt=0)] | None = None
    momentum: Share | None = None
    groups: dict[str, OptimGroup] = Field(default_factory=dict)


class Schedule(Section):
    """`[schedule]`: the learning rate over time.

    Attributes:
        use: the shape after the warm-up.
        warmup: steps when at least 1, else a share of all steps.
        final: factor of the learning rate at the end.
    """

    use: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Rate = 0.0
    final: Annotated[float, Field(ge=0, le=1)] = 0.0


class Lora(Section):
    """`[train.lora]`: low-rank adapters in the layers whose names match `targets` (needs the extra `lora`)."""

    rank: Positive = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    dropout: Share = 0.0
    targets: SomeNames


class Train(Section):
    """`[train]`: the loop.

    Attributes:
        epochs, steps: how long; one of the two.
        batch_size: the batch of the loss.
        micro_batch: examples in memory at once; "auto" finds it.
        precision: of the computation; weights stay in fp32.
        ema: decay of the moving average of the weights that is saved instead of them.
        cache_features: keep the outputs of frozen encoders on disk.
        views: with cached features, how many views of each item: the plain one and `views - 1` augmented ones.
        augment: let encoders vary what is not cached, anew in every epoch.
        keep_inputs: hold preprocessed inputs in memory (small data, without `augment`).
        eval_every, checkpoint_every, log_every: steps; evaluation and checkpoints also come at the end.
        grad_clip: largest norm of the gradient; 0: no clipping.
    """

    epochs: Annotated[float, Field(gt=0)] | None = None
    steps: Positive | None = None
    batch_size: Positive = 256
    micro_batch: PositiveOrAuto = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    ema: Share | None = None
    cache_features: bool = True
    views: Positive = 1
    augment: bool = False
    keep_inputs: bool = False
    eval_every: Positive | None = None
    checkpoint_every: Positive = 500
    log_every: Positive = 10
    grad_clip: Rate = 1.0
    lora: Lora | None = None


class Stage(Section):
    """`[[stages]]`: a part of the training; without any, the method's own stages are used.

    Attributes:
        name: shown in logs.
        trainable, frozen: patterns over the method's parameter names.
        share: of the run's steps, relative to the other stages.
        lr_scale: multiplies every learning rate.
        data: options of the data set that differ in this stage.
    """

    name: Name
    trainable: SomeNames = ("*",)
    frozen: Names = ()
    share: Annotated[float, Field(gt=0)] = 1.0
    lr_scale: Annotated[float, Field(gt=0)] = 1.0
    data: Table = Field(default_factory=dict)


class Condition(Section):
    """`[[claim.conditions]]`: `arm` is better than `than` by at least `margin`, or better than a fixed `value`.

    Attributes:
        text: the condition as the paper's reader would say it.
        metric: when another than the claim's.
        lower_is_better: for distances, ranks and losses.
        relative: margin and difference are shares of the other arm's mean (or of `value`): 0.05 is 5 %.
    """

    text: Name
    arm: Name
    than: Name | None = None
    value: float | None = None
    margin: float = 0.0
    metric: Name | None = None
    lower_is_better: bool = False
    relative: bool = False


class NegativeControl(Section):
    """`[claim.negative_control]`: an arm for which the claim's first condition has to fail (shuffled pairs …)."""

    text: Name
    arm: Name


class Claim(Section):
    """`[claim]`: a paper's headline claim, run by `vlcli reproduce`.

    Attributes:
        text: the claim in one sentence.
        paper: where it is made.
        metric: the metric that the conditions compare.
        seeds: the seeds of every arm.
        arms: name -> a partial recipe that is laid over this one.
        conditions: all have to hold.
        negative_control: shows that the conditions can fail.
    """

    text: Name
    paper: str = ""
    metric: Name
    seeds: Seeds = (0, 1, 2)
    arms: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    conditions: Annotated[tuple[Condition, ...], BeforeValidator(array_to_tuple), Field(min_length=1)]
    negative_control: NegativeControl | None = None
