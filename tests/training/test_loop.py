"""The training loop: resumes to the bit, parts and processes change nothing, the best epoch is kept, one sentence."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streams.errors import BadModel, CannotWrite, Diverged, Misuse
from tests.training.limits import small_disk
from training.checkpoints import CHECKPOINT_FILE
from training.loop import Course, Ran, Rows, run

COURSE = Course(seed=3, epochs=4, batch_rows=7, learning_rate=0.05, patience=9, checkpoint_steps=2)
ROWS = 30


class Cut(Exception):
    """Stands for a power cut."""


class Line:
    """Learn y = x w from rows with noise, through dropout and noise of its own, if asked."""

    def __init__(self, rows: int = ROWS, *, noisy: bool = False, cut_at: int | None = None) -> None:
        generator = np.random.default_rng(0)
        self.rows, self.noisy, self.cut_at, self.calls = rows, noisy, cut_at, 0
        self.x = generator.normal(size=(rows, 4)).astype(np.float32)
        self.y = self.x @ np.array([1, -2, 0.5, 3], np.float32)
        self.judgements: list[float] = []

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        self.calls += 1
        if self.calls == self.cut_at:
            raise Cut
        x = torch.from_numpy(self.x[rows])
        if self.noisy:
            x = nn.functional.dropout(x, 0.2) + torch.from_numpy(generator.normal(size=x.shape)).float()
        return (model(x).squeeze(1) - torch.from_numpy(self.y[rows])).square().mean()

    def judge(self, model: nn.Module) -> float | None:
        with torch.no_grad():
            error = (model(torch.from_numpy(self.x)).squeeze(1) - torch.from_numpy(self.y)).square().mean()
        self.judgements.append(-error.item())
        return self.judgements[-1]


def network(width: int = 8) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))


def trained(task: Line, course: Course = COURSE, folder: Path | None = None) -> tuple[nn.Module, Ran]:
    model = network()
    return model, run(model, task, course, folder=folder)


def same(one: nn.Module, two: nn.Module) -> bool:
    states = one.state_dict(), two.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_run_tells_how_far_it_is() -> None:
    told: list[str] = []
    run(network(), Line(), replace(COURSE, epochs=1), progress=told.append)
    assert [line.partition(":")[0] for line in told] == ["epoch 1 of 1"] * 3
    assert told[:2] == ["epoch 1 of 1: step 2 of 5", "epoch 1 of 1: step 4 of 5"]


@pytest.mark.parametrize("cut_at", [1, 3, 4, 7, 15])
def test_a_run_that_is_cut_off_ends_with_the_same_weights(tmp_path: Path, cut_at: int) -> None:
    whole, ran = trained(Line(noisy=True))
    with pytest.raises(Cut):
        trained(Line(noisy=True, cut_at=cut_at), folder=tmp_path)
    resumed = Line(noisy=True)
    model, again = trained(resumed, folder=tmp_path)
    assert same(model, whole)
    assert again == ran
    assert resumed.calls < 5 * COURSE.epochs or cut_at <= 2


def test_a_run_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    model, ran = trained(Line(), folder=tmp_path)
    again = Line(cut_at=1)
    assert trained(again, folder=tmp_path)[1] == ran
    assert same(trained(again, folder=tmp_path)[0], model)


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    one, two, other = (trained(Line(noisy=True), replace(COURSE, seed=seed))[0] for seed in (1, 1, 2))
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.parametrize("parts", [2, 3, 100])
def test_parts_of_a_batch_teach_the_same(parts: int) -> None:
    whole = trained(Line())[0].state_dict()
    for name, weight in trained(Line(), replace(COURSE, parts=parts))[0].state_dict().items():
        torch.testing.assert_close(weight, whole[name], atol=2e-4, rtol=0)


def test_it_learns() -> None:
    task = Line(200)
    trained(task, replace(COURSE, epochs=60))
    assert task.judgements[0] < -1
    assert task.judgements[-1] > -0.01


def test_mixed_precision_learns_as_much_by_other_roundings() -> None:
    task, exact = Line(200), Line(200)
    model, _ = trained(task, replace(COURSE, epochs=20, precision="bf16"))
    reference, _ = trained(exact, replace(COURSE, epochs=20))
    assert not same(model, reference)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert task.judgements[-1] > 0.1 * task.judgements[0]


def test_the_best_epoch_is_kept_and_patience_ends_the_run() -> None:
    class Worse(Line):
        def judge(self, model: nn.Module) -> float:
            super().judge(model)
            return -abs(len(self.judgements) - 2.0)  # the second is the best

    model, ran = trained(Worse(), replace(COURSE, epochs=9, patience=3))
    assert ran.best_epoch == 2
    assert len(ran.history) == 5
    until, _ = trained(Worse(), replace(COURSE, epochs=9, patience=0))
    assert not model.training
    assert not same(until, network())


def test_without_a_judge_the_last_epoch_is_kept() -> None:
    class Unjudged(Line):
        def judge(self, model: nn.Module) -> None:
            super().judge(model)

    model, ran = trained(Unjudged())
    assert ran == Ran(COURSE.epochs, ())
    assert same(model, trained(Line(), replace(COURSE, patience=9))[0])


def test_what_does_not_learn_stays(tmp_path: Path) -> None:
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    run(model, Line(), COURSE, folder=tmp_path)
    assert torch.equal(model[0].weight, before)
    assert not any(name.startswith("0.") for name in torch.load(tmp_path / CHECKPOINT_FILE)["weights"])


def test_a_loss_that_is_no_number_names_the_step() -> None:
    class Broken(Line):
        def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
            value = super().loss(model, rows, generator)
            return value * math.nan if self.calls == 7 else value

    with pytest.raises(Diverged, match=r"^step 7 \(epoch 2\): the loss is nan: lower the learning rate"):
        trained(Broken())


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(Misuse, match="nothing to learn from"):
        trained(Line(0))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    trained(Line(), folder=tmp_path)
    with pytest.raises(BadModel, match=r"learning_rate was 0\.05, and is 0\.1"):
        trained(Line(), replace(COURSE, learning_rate=0.1), tmp_path)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    trained(Line(), folder=tmp_path)
    with pytest.raises(BadModel, match=r"is of another shape: .* is \(.*8.*\), not \(.*9"):
        run(network(9), Line(), COURSE, folder=tmp_path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT_FILE).write_bytes(b"nonsense")
    with pytest.raises(BadModel, match="no checkpoint: remove it to begin anew"):
        trained(Line(), folder=tmp_path)


def test_a_full_disk_is_one_sentence_and_the_earlier_checkpoint_stays(tmp_path: Path) -> None:
    with pytest.raises(Cut):
        trained(Line(cut_at=4), folder=tmp_path)
    before = (tmp_path / CHECKPOINT_FILE).read_bytes()
    with small_disk(1_000), pytest.raises(CannotWrite, match="cannot be written"):
        trained(Line(), folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT_FILE]
    assert (tmp_path / CHECKPOINT_FILE).read_bytes() == before


def test_two_processes_teach_the_same_as_one(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "tests.training.two_processes", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    alone = trained(Line())[0].state_dict()
    first, second = (torch.load(tmp_path / f"{process}.pt") for process in range(2))
    for name, weight in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weight, atol=2e-4, rtol=0)
