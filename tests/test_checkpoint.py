import os
import pickle

import pytest
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


def test_weights_come_back_as_a_network_ready_to_use(tmp_path):
    network = saved(tmp_path / "deep" / "best.pt").eval()
    loaded = load_weights(tmp_path / "deep" / "best.pt")
    assert (loaded.family, loaded.facts, loaded.network.training) == ("xtrans", {"images": 12}, False)
    mosaic, masks = torch.rand(1, 1, 32, 32), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.network(mosaic, masks), network(mosaic, masks))


def test_half_precision_weights_are_used_in_full_precision(tmp_path):
    save_weights(tmp_path / "half.pt", MODEL, build(**MODEL).half().state_dict(), "xtrans", {})
    floats = [p.dtype for p in load_weights(tmp_path / "half.pt").network.parameters()]
    assert set(floats) == {torch.float32}


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


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"format": 1})])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    for load in (load_state, load_weights):
        with pytest.raises(CheckpointError, match=r"broken\.pt: "):
            load(path)


def test_a_file_that_was_cut_off_is_named(tmp_path):
    saved(tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"cut\.pt: broken"):
        load_weights(tmp_path / "cut.pt")


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


def test_weights_are_found_by_path_and_by_released_name(tmp_path):
    released = tmp_path / "models" / "v4" / "weights.pt"
    saved(released)
    assert find_weights("v4", tmp_path) == released
    assert find_weights(str(released), tmp_path) == released
    with pytest.raises(CheckpointError, match="v9: neither a checkpoint file nor a released model"):
        find_weights("v9", tmp_path)
    with pytest.raises(CheckpointError, match=r"gone\.pt: no such checkpoint"):
        load_weights(tmp_path / "gone.pt")
