import pytest
import torch

from lincfa.cfa import XTRANS, batch_masks, batch_mosaic
from lincfa.checkpoint import load_weights, save_weights
from lincfa.models import build
from lincfa.models.denoising import FULL_DEVIATION, GREY
from lincfa.release import convert

PARTS = {"family": "xtrans", "width": 6, "blocks": 1, "coding": 0.5}

OTHER = PARTS | {"width": 8, "blocks": 2, "gate": 4, "separable": True, "kernel": 5}


def network(noisy=None):
    torch.manual_seed(2)
    made = build("denoising", **PARTS, noisy=noisy)
    torch.nn.init.normal_(made.noisy.noise.weight)
    return made.eval()


def inputs(images=1, side=36):
    truth = torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(3))
    masks = batch_masks([XTRANS] * images, side, side, "cpu")
    return batch_mosaic(truth, masks), masks


def of_deviation(share):
    """Read noise alone, of this share of the deviation where the noisy weights are reached."""
    return torch.tensor([[[share * FULL_DEVIATION, 0.0]] * 3])


@torch.inference_mode()
def test_without_noise_it_is_the_clean_network_bit_for_bit_and_with_much_the_noisy_one():
    made, given = network(), inputs()
    assert torch.equal(made(*given, torch.zeros(1, 3, 2)), made.clean(*given))
    assert torch.equal(made(*given), made.clean(*given))
    for share in (1.0, 3.0):
        torch.testing.assert_close(made(*given, of_deviation(share)), made.noisy(*given, of_deviation(share)))
    assert not torch.allclose(made.clean(*given), made.noisy(*given, of_deviation(1.0)), atol=1e-2)


@torch.inference_mode()
def test_between_them_the_picture_is_between_theirs_in_the_share_of_the_deviation():
    made, given = network(), inputs()
    shot = torch.tensor([[[0.0, (0.25 * FULL_DEVIATION) ** 2 / GREY]] * 3])
    wanted = 0.75 * made.clean(*given) + 0.25 * made.noisy(*given, shot)
    torch.testing.assert_close(made(*given, shot), wanted, atol=1e-5, rtol=1e-4)


def test_what_reaches_a_pixel_is_what_reaches_it_in_either_network():
    made = network(OTHER)
    assert made.margin == made.noisy.margin > made.clean.margin


def test_two_cfas_are_refused():
    with pytest.raises(ValueError, match="one CFA"):
        network(PARTS | {"family": "bayer"})


def test_a_batch_of_two_noises_is_refused():
    with pytest.raises(ValueError, match="one noise"):
        network()(*inputs(2), torch.cat([of_deviation(0.5), of_deviation(0.6)]))


@pytest.mark.parametrize("noisy", [None, OTHER], ids=["one shape", "two shapes"])
def test_a_release_joins_the_two(tmp_path, noisy):
    made = network(noisy)
    for name, part in (("clean", made.clean), ("noisy", made.noisy)):
        arguments = PARTS if name == "clean" else (noisy or PARTS) | {"noise": True}
        model = {"name": "packed", **arguments}
        facts = {"name": name, "images": 16, "validation": {}}
        save_weights(tmp_path / f"{name}.pt", model, part.state_dict(), "xtrans", facts)
    joined = load_weights(convert(tmp_path / "noisy.pt", tmp_path / "both", str(tmp_path / "clean.pt"))).network
    given, noise = inputs(), of_deviation(0.4)
    with torch.inference_mode():
        assert torch.equal(joined(*given, noise), made(*given, noise))
    with pytest.raises(ValueError, match="do not belong together"):
        convert(tmp_path / "clean.pt", tmp_path / "wrong", str(tmp_path / "noisy.pt"))


def test_the_released_one_is_the_released_clean_one_without_noise():
    """Of the committed weights: new ones of xtrans-s ask for this model to be put together anew."""
    both, clean = (load_weights(name).network.state_dict() for name in ("xtrans-s-denoise", "xtrans-s"))
    for name, weights in clean.items():
        assert torch.equal(both[f"clean.{name}"], weights), name
