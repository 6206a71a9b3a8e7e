"""The guide's pictures: squares where the reference is worst, whatever the network does."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "utils" / "guide_pictures.py"
SIDE = 200


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


def photograph(script, name, fault):
    """Grey, and in the reference a fault of 20 px around (130, 80), which `fault` draws into [20, 20, 3]."""
    truth = np.full((SIDE, SIDE, 3), 0.2, np.float32)
    reference = truth.copy()
    fault(reference[120:140, 70:90])
    return script["Photograph"](name, (0, 0), truth, reference, truth)


def red_patch(area):
    area[4:16, 4:16, 0] += 0.1


def speckle(area):
    area[::2, ::2] += 0.3


def weak_checks(area):
    area[(np.indices(area.shape[:2]).sum(0) % 2).astype(bool)] += 0.05


def test_each_kind_of_failure_is_found_where_it_is_and_no_photograph_is_shown_twice(script):
    faults = (("colour", red_patch), ("specks", speckle), ("checks", weak_checks))
    photographs = [photograph(script, name, fault) for name, fault in faults]
    chosen = script["choose"](photographs)
    assert len({place.name for place, _, _ in chosen.values()}) == 3
    assert chosen["false-colour"][0].name == "colour"
    assert chosen["fine-detail"][0].name == "specks"
    for _, top, left in chosen.values():
        assert 140 - script["SIDE_PX"] <= top <= 120
        assert 90 - script["SIDE_PX"] <= left <= 70


def test_the_network_has_no_say_in_what_is_shown(script):
    photographs = [photograph(script, str(i), fault) for i, fault in enumerate((red_patch, speckle, weak_checks))]
    worse = [replace(p, network=p.truth[::-1] + 1) for p in photographs]
    places = [{kind: (p.name, *at) for kind, (p, *at) in script["choose"](ps).items()} for ps in (photographs, worse)]
    assert places[0] == places[1]


def test_pictures_that_the_model_learnt_from_are_left_out(script, tmp_path):
    for name in ("learnt", "held-out", "unknown"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "weights.safetensors").write_bytes(b"")
    (tmp_path / "training_data.tsv").write_text("file\tsplit\nlearnt.webp\ttrain\nheld-out.webp\tval\n")
    left_out = script["trained_on"](str(tmp_path))
    assert sorted(script["find_photographs"](tmp_path, left_out)) == ["held-out.png", "unknown.png"]


def test_both_demosaicers_get_the_decoded_file_and_give_the_truth_of_flat_colour(script):
    truth = np.full((120, 132, 3), (0.3, 0.2, 0.4), np.float32)
    asked = []

    def bilinear(mosaic, cfa, white_balance):
        asked.append((mosaic, cfa, white_balance))
        return truth * np.array(script["CAMERA"].gains)

    taken = script["take"]("flat", truth, 4, bilinear)
    ((mosaic, cfa, _),) = asked
    assert cfa.phase == taken.phase == (1, 1)
    np.testing.assert_allclose(mosaic, cfa.mosaic(truth * np.array(script["CAMERA"].gains)), atol=1 / 15359)
    np.testing.assert_allclose(taken.reference, truth, atol=1e-3)
    np.testing.assert_allclose(taken.network, truth, atol=1e-6)


def test_a_picture_shows_the_three_side_by_side_at_their_size(script):
    side, zoom = script["SIDE_PX"], script["ZOOM"]
    crops = [np.full((side, side, 3), level, np.float32) for level in (0.0, 0.2, 1.0)]
    sheet = script["draw"](crops, "net", [10.0, 20.0])
    assert sheet.shape[1] == 3 * side * zoom + 2 * script["GAP_PX"]
    middle = sheet[-side * zoom // 2]
    centres = [side * zoom // 2 + i * (side * zoom + script["GAP_PX"]) for i in range(3)]
    assert [int(middle[x, 0]) for x in centres] == [0, 124, 255]
