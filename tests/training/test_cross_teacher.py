"""The cross-encoder: words teach it what features don't, in each way of tuning; what it says is the list's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from streams.errors import BadModel, Diverged, Misuse
from streams.evaluation.log import Log
from tests.training.languages import tiny
from training.adversarial import Adversary
from training.augment import Augmentation
from training.checkpoints import learned
from training.cross_encoder import HEAD_FILE, CrossEncoder, load_cross_encoder
from training.cross_task import Reader, drawn
from training.cross_teacher import CrossRecipe, CrossTeacher, train_cross_encoder
from training.dataset import Dataset
from training.language import Language
from training.lists import Lists, part
from training.loop import Course
from training.teacher import judged
from training.text import Texts

COURSE = Course(seed=1, epochs=1, batch_rows=16, learning_rate=3e-3, checkpoint_steps=2, patience=9)
RECIPE = CrossRecipe(candidates=6, judged_lists=6, course=COURSE)


@pytest.fixture(scope="module")
def texts(log: Path) -> Texts:
    return Texts(Log(log).items())


@pytest.fixture(scope="module")
def small(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few lists, where only the way counts and not how good it gets."""
    folder = tmp_path_factory.mktemp("small")
    for split, size in (("train", 64), ("validation", 10)):
        part(dataset.whole(split), np.arange(size)).save(folder / f"{split}-0000.parquet")
    return replace(dataset, folder=folder)


def trained(
    dataset: Dataset, texts: Texts, recipe: CrossRecipe, folder: Path | None = None
) -> tuple[CrossTeacher, Language]:
    language = tiny(dropout=0.1)
    return train_cross_encoder(dataset, texts, language, recipe, folder=folder)[0], language


def told_by_words(dataset: Dataset, texts: Texts, folder: Path) -> Dataset:
    """Return it with the labels that only a reader knows: items whose category is c1 are bought, by everybody."""
    for path in (path for split in ("train", "validation") for path in dataset.paths(split)):
        lists = Lists.load(path)
        read = Reader(tiny(), texts).items(lists.item_ids)
        depth = np.array([3 if "c1 > " in text else 0 for text in read], np.uint8)
        blind = np.zeros_like(lists.features)
        replace(lists, depth=depth, features=blind, targets=np.full(len(lists), 10, np.int32)).save(folder / path.name)
    return replace(dataset, folder=folder)


def test_it_reads(dataset: Dataset, texts: Texts, tmp_path: Path) -> None:
    """Without words nothing can be known here."""
    data = told_by_words(dataset, texts, tmp_path)
    recipe = replace(RECIPE, tuning="full", course=replace(COURSE, epochs=4, learning_rate=1e-2))
    lists = part(data.whole("validation"), np.arange(10))
    teacher, _ = trained(data, texts, recipe)
    assert judged(teacher.logits(lists), lists) > 0.9
    blind, _ = trained(data, Texts([]), recipe)
    assert judged(blind.logits(lists), lists) < 0.6


@pytest.mark.parametrize("tuning", ["full", "lora", "frozen"])
def test_what_learns_is_what_was_asked_for(small: Dataset, texts: Texts, tmp_path: Path, tuning: str) -> None:
    recipe = replace(RECIPE, tuning=tuning)  # type: ignore[arg-type]
    teacher, language = trained(small, texts, recipe, tmp_path / "run")
    before, after = tiny(dropout=0.1).model.state_dict(), language.model.state_dict()
    assert before.keys() == after.keys()  # adapters are worked in
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    words = "embeddings.word_embeddings.weight"
    assert (words in changed) == (tuning == "full")
    assert any("attention" in name for name in changed) == (tuning != "frozen")
    lists = part(small.whole("validation"), np.arange(3))
    teacher.model.save(tmp_path / "saved")
    again = CrossTeacher(load_cross_encoder(tmp_path / "saved"), texts)
    np.testing.assert_allclose(again.logits(lists), teacher.logits(lists), atol=1e-5)


def test_a_list_is_judged_the_same_alone(dataset: Dataset, texts: Texts) -> None:
    teacher = CrossTeacher(CrossEncoder(tiny()), texts)
    lists = part(dataset.whole("validation"), np.arange(4))
    whole = teacher.logits(lists)
    alone = np.concatenate([teacher.logits(part(lists, np.array([n]))) for n in range(4)])
    np.testing.assert_allclose(alone, whole, atol=1e-4)
    assert np.isfinite(whole).all()


RICH = replace(
    RECIPE, weighting="uncertainty", augmentation=Augmentation(), adversary=Adversary(steps=2),
    course=replace(COURSE, parts=2),
)  # fmt: skip


def test_a_run_that_is_cut_off_ends_with_the_same_weights(
    small: Dataset, texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that is drawn: dropout, candidates, augmentation, the adversary's start."""
    whole, _ = trained(small, texts, RICH)
    steps, step = [0], torch.optim.AdamW.step

    def cut(self: torch.optim.AdamW, closure: None = None) -> None:
        steps[0] += 1
        if steps[0] == 4:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(small, texts, RICH, tmp_path)
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    resumed, _ = trained(small, texts, RICH, tmp_path)
    one, two = (teacher.model.state_dict() for teacher in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_adversary_and_augmentation_change_what_is_learned(small: Dataset, texts: Texts) -> None:
    states = [
        trained(small, texts, recipe)[0].model.head.state_dict()
        for recipe in (RECIPE, replace(RECIPE, adversary=Adversary()), replace(RECIPE, augmentation=Augmentation()))
    ]
    assert not any(torch.equal(states[0]["direct.weight"], state["direct.weight"]) for state in states[1:])


def test_what_is_read_of_a_list_weighs_as_much_as_all_of_it(dataset: Dataset) -> None:
    lists = dataset.whole("train")
    rows = np.arange(len(lists))
    at, weight = drawn(lists, rows, 8, np.random.default_rng(0))
    sizes = np.diff(lists.offsets)
    assert np.all((at >= lists.offsets[:-1, None]) | (weight == 0))
    assert np.all((at < lists.offsets[1:, None]) | (weight == 0))
    for row in rows[sizes > 0]:
        places = slice(lists.offsets[row], lists.offsets[row + 1])
        wanted, read = lists.depth[places] > 0, lists.depth[at[row]] > 0
        real = weight[row] > 0
        assert len(set(at[row][real].tolist())) == real.sum() == min(8, len(wanted)) or wanted.sum() > 4
        for kind, of_kind in ((wanted, read), (~wanted, ~read)):
            assert weight[row][of_kind].sum() == pytest.approx(lists.weight[places][kind].sum(), rel=1e-4)


def test_a_run_goes_on_with_its_own_recipe_and_lists_only(small: Dataset, texts: Texts, tmp_path: Path) -> None:
    trained(small, texts, RECIPE, tmp_path / "run")
    with pytest.raises(BadModel, match="candidates was 6, and is 5"):
        trained(small, texts, replace(RECIPE, candidates=5), tmp_path / "run")
    for split in ("train", "validation"):
        lists = small.whole(split)
        replace(lists, depth=lists.depth[::-1].copy()).save(tmp_path / f"{split}-0000.parquet")
    with pytest.raises(BadModel, match="data was"):
        trained(replace(small, folder=tmp_path), texts, RECIPE, tmp_path / "run")


def test_lists_for_which_nothing_was_found_are_left_out(small: Dataset, texts: Texts, tmp_path: Path) -> None:
    train = small.whole("train")
    offsets = train.offsets.copy()
    offsets[1:40] = 0  # all went to the fortieth
    replace(train, offsets=offsets).save(tmp_path / "train-0000.parquet")
    small.whole("validation").save(tmp_path / "validation-0000.parquet")
    course = replace(COURSE, batch_rows=1)
    trained(replace(small, folder=tmp_path), texts, replace(RECIPE, course=course))


@pytest.mark.parametrize("depth", [0, 3])
def test_labels_that_are_all_alike_are_refused(dataset: Dataset, texts: Texts, tmp_path: Path, depth: int) -> None:
    for path in (path for split in ("train", "validation") for path in dataset.paths(split)):
        lists = Lists.load(path)
        replace(lists, depth=np.full_like(lists.depth, depth)).save(tmp_path / path.name)
    with pytest.raises(Misuse, match="nothing to learn"):
        trained(replace(dataset, folder=tmp_path), texts, RECIPE)


def test_an_empty_split_is_refused(dataset: Dataset, texts: Texts, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="split `train` is empty"):
        trained(replace(dataset, folder=tmp_path), texts, RECIPE)


def test_features_that_are_no_numbers_name_the_step(dataset: Dataset, texts: Texts, tmp_path: Path) -> None:
    for path in (path for split in ("train", "validation") for path in dataset.paths(split)):
        lists = Lists.load(path)
        features = lists.features.copy()
        features[5] = np.nan
        replace(lists, features=features).save(tmp_path / path.name)
    with pytest.raises(Diverged, match=r"^step 1 \(epoch 1\): the loss is nan"):
        trained(replace(dataset, folder=tmp_path), texts, RECIPE)


def test_a_vocabulary_that_changed_is_refused_by_a_checkpoint(small: Dataset, texts: Texts, tmp_path: Path) -> None:
    trained(small, texts, RECIPE, tmp_path)
    language = tiny()
    other = type(language.tokenizer).from_pretrained(language.tokenizer.name_or_path, local_files_only=True)
    other.add_tokens(["espresso"])
    language.model.resize_token_embeddings(len(other))  # type: ignore[operator]
    with pytest.raises(BadModel, match="vocabulary was"):
        train_cross_encoder(small, texts, Language(language.model, other), RECIPE, folder=tmp_path)


def test_a_head_of_other_features_is_refused(tmp_path: Path) -> None:
    model = CrossEncoder(tiny())
    model.save(tmp_path)
    state = learned(model.head)
    torch.save(state | {"mean": torch.zeros(7)}, tmp_path / HEAD_FILE)
    with pytest.raises(BadModel, match=r"is of another shape: mean is \(7,\), not"):
        load_cross_encoder(tmp_path)
    (tmp_path / HEAD_FILE).unlink()
    with pytest.raises(BadModel, match="cannot be read"):
        load_cross_encoder(tmp_path)


def test_heads_without_labels_follow_the_deepest_that_has_some() -> None:
    model = CrossEncoder(tiny())
    model.head.begin(np.zeros(model.head.mean.shape), np.ones(model.head.mean.shape), np.array([0.2, 0.1]))
    z = model.head(torch.randn(4, 32), torch.randn(4, len(model.head.mean)))
    assert torch.equal(z[:, 2], z[:, 1])
    assert not torch.equal(z[:, 0], z[:, 1])
