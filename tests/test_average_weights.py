import pytest
import torch

from lincfa.checkpoint import load_weights, save_weights
from lincfa.models import build
from lincfa.raw import file_sha256


@pytest.fixture
def saved(tmp_path):
    def save(name, value, width=4, family="xtrans"):
        model = {"name": "packed", "width": width, "blocks": 1, "family": family}
        state = {key: torch.full_like(tensor, value) for key, tensor in build(**model).state_dict().items()}
        save_weights(tmp_path / name / "best.pt", model, state, family, {"name": name})
        return tmp_path / name / "best.pt"

    return save


def test_each_weight_is_the_mean_of_all(saved, tmp_path, run_script):
    files = [saved(name, value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 6.0))]
    assert run_script("utils/average_weights.py", *files, "--to", tmp_path / "mean/best.pt")[0] == 0
    mean = load_weights(tmp_path / "mean/best.pt")
    assert {float(v) for tensor in mean.network.state_dict().values() for v in tensor.flatten()} == {3.0}
    assert mean.facts == {"name": "mean", "mean_of_sha256": [file_sha256(file) for file in files]}
    status, _, said = run_script("utils/release.py", tmp_path / "mean/best.pt", "--to", tmp_path / "released")
    assert (status, "weights of no training run" in said, (tmp_path / "released").exists()) == (1, True, False)


@pytest.mark.parametrize("other", [{"width": 8}, {"family": "bayer"}], ids=str)
def test_different_networks_are_refused_by_file(saved, tmp_path, run_script, other):
    first, second = saved("a", 1.0), saved("b", 1.0, **other)
    status, _, said = run_script("utils/average_weights.py", first, second, "--to", tmp_path / "mean/best.pt")
    assert status == 1
    assert f"{second}: another network" in said
    assert not (tmp_path / "mean").exists()
