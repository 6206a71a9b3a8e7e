"""What the loss may gain beside the comparison with truth: each term is what its paper says, and survives a kill."""

from dataclasses import replace

import pytest
import torch
import yaml
from test_train import assert_same_run, rows, state
from tiny import BATCH, tiny_config

from lincfa.adversary import LEAST_PX, Adversary
from lincfa.checkpoint import load_weights, save_weights
from lincfa.config import override
from lincfa.data.dataset import PatchSet
from lincfa.losses import WeightedLoss, highpass, perceptual
from lincfa.models import build, parameter_count
from lincfa.raw import file_sha256
from lincfa.terms import Consolidation, Teacher, extra_terms
from lincfa.train import train
from lincfa.trainconfig import TrainingError
from lincfa.trainstate import TrainState

PACKED = {"name": "packed", "width": 4, "blocks": 1}


@pytest.fixture(scope="module")
def data(tiny_data):
    return tiny_data


def weights_file(folder, model, name="start.pt", family="xtrans", seed=9):
    torch.manual_seed(seed)
    network = build(**model)
    save_weights(folder / name, model, network.state_dict(), family, {})
    return str(folder / name)


def with_everything(data, folder):
    """Every term and a frozen level, of a network with batch normalisation in sRGB space."""
    config = tiny_config(data, model={"name": "unet", "width": 2, "norm": "batch", "space": "srgb"})
    return replace(
        config,
        start_from=weights_file(folder, config.model),
        teacher=weights_file(folder, {"name": "unet", "width": 3}, "teacher.pt", seed=8),
        teacher_weight=0.5,
        frozen=("network.down.0",),
        ewc=3.0,
        ewc_images=2,
        adversarial=0.1,
        outputs_every_images=2 * BATCH,
        save_every_s=1e9,
    )


def test_a_killed_run_with_every_term_equals_one_that_was_not(data, tmp_path, monkeypatch):
    """It dies in the middle of its fifth step, two after its last save, and goes on without what it started from."""
    config = with_everything(data, tmp_path)
    train(config, tmp_path / "whole")
    plain = TrainState.update_average

    def killing(self):
        if self.images == 5 * BATCH:
            raise KeyboardInterrupt
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "update_average", killing)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "killed")
    assert state(tmp_path / "killed")["images"] == 3 * BATCH
    (tmp_path / "start.pt").unlink()
    train(config, tmp_path / "killed")
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
    kept = [sorted((tmp_path / run / "logs/tiny/outputs").iterdir()) for run in ("killed", "whole")]
    assert [[p.name for p in files] for files in kept] == 2 * [[f"{n * BATCH:09d}.png" for n in (2, 4, 6)]]
    assert [p.read_bytes() for p in kept[0]] == [p.read_bytes() for p in kept[1]]
    logged = [row for row in rows(tmp_path / "whole") if row["kind"] == "train"]
    assert logged[0]["ewc"] == 0 < logged[-1]["ewc"]
    weights = config.loss | {"ewc": 3.0, "teacher": 0.5, "adversary": 0.1}
    for row in logged:
        assert row["loss"] == pytest.approx(sum(weight * row[name] for name, weight in weights.items()), rel=1e-5)


def test_frozen_weights_and_their_statistics_stay_and_all_others_move(data, tmp_path):
    config = tiny_config(data, steps=2, frozen=("down.0", "down.1.0"))
    before = TrainState(config, "cpu", tmp_path, "").network.state_dict()
    train(config, tmp_path)
    after = state(tmp_path)["network"]
    stayed = {key for key, value in before.items() if torch.equal(value, after[key])}
    assert stayed == {key for key in before if key.startswith(config.frozen)}


@pytest.mark.parametrize(
    ("frozen", "said"), [(("down.0", "upp"), r"begins with 'upp'; there are: down\.0"), (("",), "nothing to train")]
)
def test_frozen_that_names_nothing_or_everything_is_refused(data, tmp_path, frozen, said):
    with pytest.raises(TrainingError, match=said):
        TrainState(tiny_config(data, frozen=frozen), "cpu", tmp_path, "")


def test_the_penalty_is_the_distance_weighed_by_each_photographs_squared_gradients(data):
    """Against torch.func: the gradient of each sample by itself."""
    config = tiny_config(data).data
    patches = PatchSet(data, patch_px=36, config=replace(config.augment, phases=False), seed=0)
    patches.torture_fraction = 1.0  # there are no scenes: measuring must not ask for them
    torch.manual_seed(0)
    network, criterion = build(**PACKED), WeightedLoss({"l1": 1.0})
    network.tail.requires_grad_(False)
    term = Consolidation(7.0, network)
    term.measure(patches, criterion, images=3)
    assert patches.torture_fraction == 1.0
    trained = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    patches.torture_fraction = 0.0
    batch = patches.batch(range(3))

    def loss(weights, mosaic, masks, truth):
        output = torch.func.functional_call(network, weights, (mosaic[None], masks[None]))
        return (output - truth[None]).abs().mean()

    gradients = torch.func.vmap(torch.func.grad(loss), (None, 0, 0, 0))(trained, batch.mosaic, batch.masks, batch.truth)
    fisher = {name: g.square().mean(0) for name, g in gradients.items()}
    mean = torch.cat([f.flatten() for f in fisher.values()]).mean()
    with torch.no_grad():
        for p in network.parameters():
            p += torch.rand_like(p)
    away = {name: p.detach() - trained[name] for name, p in network.named_parameters() if name in trained}
    wanted = sum((fisher[name] / mean * away[name] ** 2).sum() for name in trained) / 2
    assert term((), None, None).item() == pytest.approx(wanted.item(), rel=1e-4)


def test_the_penalty_holds_the_weights_that_matter(data, tmp_path):
    """One that counts for nothing is the measure of how far they go by themselves."""
    config = tiny_config(data, steps=20, validate_every_images=10**6, save_every_s=1e9, ewc_images=2)
    config = replace(config, start_from=weights_file(tmp_path, config.model))
    for weight in (1e-9, 0.1):
        train(replace(config, ewc=weight), tmp_path / str(weight))
    free, held = ([row for row in rows(tmp_path / w) if "ewc" in row][-1]["ewc"] for w in ("1e-09", "0.1"))
    assert held < 0.7 * free


def test_a_teacher_with_the_students_answers_teaches_nothing_and_another_does(data, tmp_path):
    model = {"name": "unet", "width": 2, "norm": "none"}
    config = tiny_config(data, teacher=weights_file(tmp_path, model), teacher_weight=1.0, loss={"l1": 1.0})
    teacher = Teacher(config, "cpu", tmp_path)
    made = PatchSet(data, patch_px=32, config=config.data.augment, seed=0).batch(range(2))
    inputs = (made.mosaic, made.masks, made.noise)
    output = load_weights(config.teacher).network(made.mosaic, made.masks)
    assert teacher(inputs, output, made.truth).item() == pytest.approx(0, abs=1e-6)
    other = (output + 0.25).detach().requires_grad_()
    loss = teacher(inputs, other, made.truth)
    loss.backward()
    assert loss.item() == pytest.approx(0.25, abs=1e-6)
    assert other.grad.any()
    assert not any(p.requires_grad for p in teacher.network.parameters())


def test_a_teacher_that_was_exchanged_is_refused(data, tmp_path):
    model = {"name": "unet", "width": 2}
    config = tiny_config(data, steps=1, teacher=weights_file(tmp_path, model), teacher_weight=1.0)
    train(config, tmp_path)
    facts = yaml.safe_load((tmp_path / "logs/tiny/provenance.yaml").read_text())
    assert (facts["start_sha256"], facts["teacher_sha256"]) == (None, file_sha256(tmp_path / "start.pt"))
    weights_file(tmp_path, model, seed=1)
    with pytest.raises(TrainingError, match="teacher_sha256"):
        train(config, tmp_path)


def test_settings_of_terms_that_do_not_fit_are_refused(data, tmp_path):
    xtrans, bayer = (weights_file(tmp_path, PACKED | {"family": f}, f, family=f) for f in ("xtrans", "bayer"))
    plain = tiny_config(data)
    one_phase = replace(plain.data, augment=replace(plain.data.augment, phases=False))
    for changes, said in [
        ({"ewc": 1.0}, "needs it"),
        ({"ewc": 1.0, "ewc_images": 0, "start_from": xtrans}, "ewc_images"),
        ({"teacher": xtrans}, "together"),
        ({"teacher_weight": 1.0}, "together"),
        ({"teacher": bayer, "teacher_weight": 1.0}, "for bayer, and not xtrans"),
        ({"teacher": xtrans, "teacher_weight": 1.0}, "phases=false"),
        ({"teacher": xtrans, "teacher_weight": 1.0, "data": one_phase}, "multiple of 6"),
        ({"adversarial": 1.0, "data": replace(plain.data, first_patch_px=16)}, "19 px and more"),
    ]:
        with pytest.raises(TrainingError, match=said):
            extra_terms(replace(plain, **changes), build(**PACKED), "cpu", tmp_path)
    assert extra_terms(plain, build(**PACKED), "cpu", tmp_path) == {}


def test_the_discriminator_learns_to_tell_blurred_from_true_and_pulls_the_output():
    torch.manual_seed(0)
    adversary = Adversary(0.1, "cpu")
    assert parameter_count(adversary.network) == 4145
    adversary.optimizer.param_groups[0]["lr"] = 3e-3  # for a test that is quick
    truth = torch.rand(2, 3, 24, 24)
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2).requires_grad_()
    for _ in range(60):
        loss = adversary((), blurred, truth)
    of_truth, of_blurred = (adversary.network(highpass(perceptual(x))).mean() for x in (truth, blurred))
    assert of_truth - of_blurred > 0.5
    before = [p.clone() for p in adversary.network.parameters()]
    loss.backward()
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.network.parameters(), strict=True))
    step = 0.1 * blurred.grad / blurred.grad.abs().max()
    assert adversary.network(highpass(perceptual(blurred - step))).mean() > of_blurred


def test_the_smallest_patch_has_one_answer_and_an_exact_output_is_not_told_from_truth():
    adversary = Adversary(0.1, "cpu")
    truth = torch.rand(1, 3, LEAST_PX, LEAST_PX)
    answers = []
    adversary.network.register_forward_hook(lambda module, given, answer: answers.append(answer))
    adversary((), truth, truth)
    assert {a.shape for a in answers} == {(1, 1, 1, 1)}
    assert torch.equal(answers[0], answers[1])


def test_in_a_process_group_the_discriminator_learns_from_the_mean_of_gradients(monkeypatch):
    """Of two processes with equal gradients, whose sum is twice one's."""
    truth, output, answers, reduced = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 24, 24), [], []
    for grouped in (False, True):
        torch.manual_seed(0)
        adversary = Adversary(0.1, "cpu")
        if grouped:
            monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
            monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
            monkeypatch.setattr(torch.distributed, "all_reduce", lambda gradient: reduced.append(gradient.mul_(2)))
        answers.append([adversary((), output, truth).item() for _ in range(3)])
    assert answers[0] == answers[1]
    assert len(reduced) == 3 * 6  # every weight and bias of three convolutions, in each of three steps


def test_the_command_line_reaches_the_settings_of_terms(data):
    config = override(tiny_config(data), ["frozen=[down.0, head]", "ewc=1e3", "model.space=srgb"])
    assert (config.frozen, config.ewc, config.model["space"]) == (("down.0", "head"), 1000.0, "srgb")
