"""Two processes give the loss and the gradient of one: objectives, queues, GradCache under DistributedDataParallel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from vlcli.align.gather import all_gather, all_reduce_logsumexp
from vlcli.align.gradcache import gradcache_backward, split_inputs
from vlcli.align.logit_scale import LogitScale
from vlcli.align.objectives.distillation import SimilarityDistillation, ranked_first
from vlcli.align.objectives.info_nce import InfoNCE, Teacher
from vlcli.align.objectives.margin import Margin
from vlcli.align.objectives.siglip import SigLIP
from vlcli.align.queue import FeatureQueue

WORLD = 2
CUT = 7  # 11 items: 7 on the first process, 4 on the second, so lengths differ


def data() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    names = ("x", "y", "teacher_x", "teacher_y")
    tensors = {name: F.normalize(torch.randn(11, 6, generator=generator), dim=1) for name in names}
    tensors["ids"] = torch.tensor([0, 1, 2, 3, 4, 5, 6, 2, 8, 9, 0])  # positives on the other process
    tensors["queue_x"] = F.normalize(torch.randn(5, 6, generator=generator), dim=1)
    tensors["queue_y"] = F.normalize(torch.randn(5, 6, generator=generator), dim=1)
    tensors["queue_ids"] = torch.tensor([1, 20, 21, -1, 8])
    return tensors


def losses(part: dict[str, Tensor], scale: Tensor, bias: Tensor) -> dict[str, Tensor]:
    x, y, ids = part["x"], part["y"], part["ids"]
    queues = {"extra_x": part["queue_x"], "extra_y": part["queue_y"]}
    x_teacher = Teacher(part["teacher_x"], part["teacher_y"], 5.0, 0.4, part["queue_y"])
    y_teacher = Teacher(part["teacher_y"], part["teacher_x"], 5.0, 0.4, part["queue_x"])
    return {
        "info_nce": InfoNCE()(x, y, scale),
        "info_nce_hot": InfoNCE(0.1)(x, y, scale * 6),
        "info_nce_ids": InfoNCE(0.1)(x, y, scale, ids=ids, extra_ids=part["queue_ids"], **queues),
        "info_nce_teacher": InfoNCE()(x, y, scale, x_teacher=x_teacher, y_teacher=y_teacher, **queues),
        "siglip": SigLIP()(x, y, scale, bias=bias),
        "siglip_ids": SigLIP()(x, y, scale, bias=bias, ids=ids),
        "distillation": SimilarityDistillation(3.0)(x, y, scale, part["teacher_x"], part["teacher_y"]),
        "selected": SimilarityDistillation(1.0, "sum", ranked_first)(x, y, scale, x.detach().flip(1), y.detach()),
        "margin": Margin(0.3)(x, y, ids=ids),
        "gathered": all_gather(x).square().sum(1).exp().mean() + (all_gather(y) @ x.T).square().mean(),
    }


def with_gradients(part: dict[str, Tensor]) -> dict[str, list[Tensor]]:
    scale = torch.tensor(9.0, requires_grad=True)
    bias = torch.tensor(-4.0, requires_grad=True)
    part = {**part, "x": part["x"].clone().requires_grad_(), "y": part["y"].clone().requires_grad_()}
    result = {}
    for name, loss in losses(part, scale, bias).items():
        inputs = (part["x"], part["y"], scale, bias)
        found = torch.autograd.grad(loss, inputs, allow_unused=True)
        result[name] = [
            loss.detach(),
            *(torch.zeros_like(i) if g is None else g for g, i in zip(found, inputs, strict=True)),
        ]
    return result


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.x = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
        self.y = nn.Linear(6, 4)
        self.scale = LogitScale()

    def forward(self, part: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": F.normalize(self.x(part["x"]), dim=1), "y": F.normalize(self.y(part["y"]), dim=1)}


def gradcache_gradients(part: dict[str, Tensor], wrap: bool) -> dict[str, Tensor]:
    model = Model()
    wrapped: Any = nn.parallel.DistributedDataParallel(model) if wrap else model
    context = {"sync_context": wrapped.no_sync} if wrap else {}
    for _ in range(2):  # the second step fails if the first left a parameter unsynchronised
        model.zero_grad()
        gradcache_backward(
            wrapped, lambda out: {"loss": InfoNCE()(out["x"], out["y"], model.scale())},
            split_inputs({"x": part["x"], "y": part["y"]}, 2), **context,
        )  # fmt: skip
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def worker(folder: str, rank: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    rows = slice(0, CUT) if rank == 0 else slice(CUT, 11)
    shared = ("queue_x", "queue_y", "queue_ids")
    part = {name: value if name in shared else value[rows] for name, value in data().items()}
    queue = FeatureQueue(9, 6)
    queue.enqueue(part["x"], part["ids"])
    result = {
        "losses": with_gradients(part),
        "gradcache": gradcache_gradients(part, wrap=True),
        "queue": [queue.features, queue.ids],
        "logsumexp": all_reduce_logsumexp(torch.tensor([float(rank), float("-inf"), 500.0])),
    }
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in range(WORLD)]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0] * WORLD
    finally:
        for process in processes:
            process.kill()
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]
    single = with_gradients(data())
    assert len(single) == 10
    for name, expected in single.items():
        if name == "gathered":
            continue
        parts = [result["losses"][name] for result in results]
        message = f"{name}: {{}}".format
        close = {"atol": 2e-6, "rtol": 1e-4, "msg": message}
        torch.testing.assert_close(sum(part[0] for part in parts) / WORLD, expected[0], **close)
        for place in (1, 2):  # rows of x and y; DistributedDataParallel's averaging divides by the world size
            torch.testing.assert_close(torch.cat([part[place] for part in parts]) / WORLD, expected[place], **close)
        for place in (3, 4):  # scale and bias
            torch.testing.assert_close(sum(part[place] for part in parts) / WORLD, expected[place], **close)

    # all_gather alone: x_i feels the first term of both processes, and its own rows' second term
    x, y = data()["x"].requires_grad_(), data()["y"].requires_grad_()
    local = [
        x.square().sum(1).exp().mean() + (y @ x[rows].T).square().mean() for rows in (slice(0, CUT), slice(CUT, 11))
    ]
    expected_x, expected_y = torch.autograd.grad(local[0] + local[1], (x, y))
    torch.testing.assert_close(torch.cat([result["losses"]["gathered"][1] for result in results]), expected_x)
    torch.testing.assert_close(torch.cat([result["losses"]["gathered"][2] for result in results]), expected_y)

    alone = gradcache_gradients(data(), wrap=False)
    for result in results:
        assert set(result["gradcache"]) == set(alone)
        for name, gradient in alone.items():
            # equal items per process only in the mean: DDP averages, the objective has already weighed by length
            torch.testing.assert_close(result["gradcache"][name], gradient, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(result["queue"][0], results[0]["queue"][0])
        assert sorted(result["queue"][1].tolist()) == sorted(data()["ids"][2:].tolist())
        torch.testing.assert_close(result["logsumexp"], torch.tensor([1.3132617, float("-inf"), 500.6931472]))


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]))
