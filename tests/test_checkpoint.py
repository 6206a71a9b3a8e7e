import hashlib
import os
import pickle

import pytest
import safetensors.torch
import torch

from lincfa.checkpoint import CheckpointError, find_weights, load_state, load_weights, save_state, save_weights
from lincfa.models import build

MODEL = {"name": "unet", "width": 2, "norm": "batch"}


def saved(path, **changes):
    network = build(**MODEL)
    save_weights(path, MODEL, network.state_dict(), "xtrans", {"images": 12})
    if changes:
        data = torch.load(path, weights_only=True) | changes
        torch.save({k: v for k, v in data.items() if v is not None}, path)
    return network


FILES = pytest.mark.parametrize("file", ["best.pt", "weights.safetensors"])


@FILES
def test_weights_come_back_as_a_network_ready_to_use(tmp_path, file):
    network = saved(tmp_path / "deep" / file).eval()
    loaded = load_weights(tmp_path / "deep" / file)
    assert (loaded.model, loaded.family, loaded.facts) == (MODEL, "xtrans", {"images": 12})
    assert not loaded.network.training
    mosaic, masks = torch.rand(1, 1, 32, 32), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.network(mosaic, masks), network(mosaic, masks))


@FILES
def test_half_precision_weights_are_used_in_full_precision(tmp_path, file):
    save_weights(tmp_path / file, MODEL, build(**MODEL).half().state_dict(), "xtrans", {})
    floats = [p.dtype for p in load_weights(tmp_path / file).network.parameters()]
    assert set(floats) == {torch.float32}


def test_weights_in_any_memory_order_are_released(tmp_path):
    network = build(**MODEL).to(memory_format=torch.channels_last)
    save_weights(tmp_path / "weights.safetensors", MODEL, network.state_dict(), "xtrans", {})
    loaded = load_weights(tmp_path / "weights.safetensors").network.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in network.state_dict().items())


def test_released_weights_can_be_read_without_this_project(tmp_path):
    network = saved(tmp_path / "weights.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    assert tensors.keys() == network.state_dict().keys()


def test_training_state_comes_back_exactly(tmp_path):
    state = {"images": 3, "best": {"psnr": -float("inf")}, "tensors": {"a": torch.randn(5, dtype=torch.float64)}}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert torch.equal(loaded["tensors"].pop("a"), state["tensors"].pop("a"))
    assert loaded == state


@pytest.mark.parametrize("failure", ["save", "fsync"])
def test_a_write_that_fails_leaves_the_file_before(tmp_path, monkeypatch, failure):
    path = tmp_path / "state.pt"
    save_state(path, {"images": 1})
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    if failure == "save":
        monkeypatch.setattr(torch, "save", lambda data, out: (out.write(b"half of it"), full()))
    else:
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_state(path, {"images": 2})
    assert path.read_bytes() == before


@pytest.mark.parametrize("file", ["broken.pt", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"format": 1})])
def test_a_broken_file_is_named(tmp_path, content, file):
    path = tmp_path / file
    path.write_bytes(content)
    for load in (load_state, load_weights):
        with pytest.raises(CheckpointError, match=f"{file}: broken"):
            load(path)


@FILES
def test_a_file_that_was_cut_off_is_named(tmp_path, file):
    saved(tmp_path / file)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=f"{file}: broken"):
        load_weights(tmp_path / file)


def test_tensors_of_another_project_are_refused_by_name(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors: not a lincfa checkpoint"):
        load_weights(tmp_path / "foreign.safetensors")


def test_exchanged_or_damaged_released_weights_are_refused_with_both_sums(tmp_path):
    ours, other = tmp_path / "ours" / "weights.safetensors", tmp_path / "other" / "weights.safetensors"
    saved(ours)
    saved(other)
    expected, found = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (ours, other))
    assert expected != found  # they start from other random weights
    (tmp_path / "ours" / "SHA256SUMS").write_text(f"{'0' * 64}  README.md\n{expected}  weights.safetensors\n")
    load_weights(ours)
    ours.write_bytes(other.read_bytes())
    with pytest.raises(CheckpointError) as refused:
        load_weights(tmp_path / "ours")
    message = f"{ours}: damaged or exchanged: its sha256 is {found}, and SHA256SUMS says {expected}"
    assert str(refused.value) == message


def test_a_run_may_write_its_best_weights_over_released_ones(tmp_path):
    """Training keeps best.pt where the recipe's released one may lie, with sums that no longer fit."""
    saved(tmp_path / "best.pt")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  best.pt\n")
    assert load_weights(tmp_path / "best.pt").family == "xtrans"


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "unet", "width": 3}},
        {"model": {"name": "resnet"}},
        {"model": "unet"},
        {"weights": {}},
        {"weights": {"head.bias": 3}},
        {"weights": None},
        {"family": None},
        {"facts": None},
        {"format": 99},
    ],
    ids=str,
)
def test_weights_that_fit_no_network_are_refused_by_name(tmp_path, changes):
    saved(tmp_path / "foreign.pt", **changes)
    with pytest.raises(CheckpointError, match=r"foreign\.pt: "):
        load_weights(tmp_path / "foreign.pt")


def test_training_state_is_no_checkpoint_to_use(tmp_path):
    save_state(tmp_path / "state.pt", {"images": 3})
    with pytest.raises(CheckpointError, match=r"state\.pt: not a lincfa checkpoint"):
        load_weights(tmp_path / "state.pt")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    torch.save({"format": 1, "model": Bomb(str(tmp_path / "exploded"))}, tmp_path / "bomb.pt")
    for load in (load_state, load_weights):
        with pytest.raises(CheckpointError, match=r"bomb\.pt"):
            load(tmp_path / "bomb.pt")
    assert not (tmp_path / "exploded").exists()


def test_weights_are_found_by_path_by_folder_and_by_released_name(tmp_path, monkeypatch):
    released = tmp_path / "models" / "v4" / "weights.safetensors"
    saved(released)
    for name in ("v4", str(released), str(released.parent), released.parent):
        assert find_weights(name, tmp_path) == released
    monkeypatch.chdir(tmp_path)
    assert load_weights("v4").model == load_weights("models/v4").model == MODEL
    for name in ("v9", "gone.pt"):
        with pytest.raises(CheckpointError, match=f"{name}: neither a checkpoint file nor a released model"):
            load_weights(name)
