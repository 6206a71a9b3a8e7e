"""The robustness report: the truth has no fault, and each fault that is put into it is found at its size."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.special import erf

from lincfa import evaluate
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import CheckpointError, save_weights
from lincfa.evaluate import Model
from lincfa.models import build
from lincfa.raw import file_sha256
from lincfa.robustness import probes, scenes
from lincfa.robustness.mtf import mtf50
from lincfa.robustness.report import Candidate, check, load_candidate, measure, panel, part_count, table, verdicts

ROOT = Path(__file__).resolve().parents[1]
CFAS = pytest.mark.parametrize("cfa", [XTRANS, RGGB], ids=["xtrans", "bayer"])
PICTURES = {"coffee": scenes.pictures()["coffee-0"][:96, :96]}


def model(change, name="fake"):
    """A demosaicer that knows the truth and then makes its fault: change(rgb [H, W, 3], scene)."""
    return Model(name, lambda scene: change(scene.rgb, scene))


TRUTH = model(lambda rgb, scene: rgb)
BLURRED = model(lambda rgb, scene: gaussian_filter(rgb, (1, 1, 0)))


@CFAS
def test_the_truth_has_no_fault(cfa):
    flat = probes.flat_grey(TRUTH, cfa)
    assert max(flat.values()) < 1e-7  # float32
    assert set(probes.black_frame(TRUTH, cfa).values()) == {0.0}
    assert probes.edges(TRUTH, cfa)["edge_rmse_worst"] == 0
    assert set(probes.exposure(TRUTH, cfa, PICTURES).values()) == {0.0}
    assert probes.phases(TRUTH, cfa) == {"phase_difference_max": 0}
    assert set(probes.frame_origin(TRUTH, cfa, 4).values()) == {0.0}
    assert probes.zone_plate(TRUTH, cfa)["zone_plate_false_colour"] < 1e-12
    assert probes.slanted_edge(TRUTH, cfa)["mtf50_relative"] == 1


@CFAS
def test_a_trace_of_the_cfa_on_grey_is_found_at_its_size(cfa):
    ripples = model(lambda rgb, scene: rgb * (1 + 1e-3 * scene.cfa.masks(*rgb.shape[:2])[2][..., None]))
    blue = np.mean(cfa.array == 2)
    for level in probes.LEVELS:
        found = probes.flat_grey(ripples, cfa)
        for kind in ("rms", "max"):
            assert found[f"flat_{level}_ripple_{kind}"] == pytest.approx(1e-3 * (blue * (1 - blue)) ** 0.5, rel=1e-2)


def test_a_trace_of_the_cfa_in_a_single_phase_counts_in_the_maximum():
    odd = XTRANS.shift(1, 2)
    ripples = model(lambda rgb, scene: rgb * (1 + 1e-3 * (scene.cfa == odd) * scene.cfa.masks(96, 96)[2][..., None]))
    found = probes.flat_grey(ripples, XTRANS)
    assert found["flat_ripple_max"] > 4e-4
    assert found["flat_0.18_ripple_rms"] == pytest.approx(found["flat_0.18_ripple_max"] / 18**0.5, rel=1e-6)


def test_a_bias_of_grey_is_found_at_its_size_and_is_no_ripple():
    found = probes.flat_grey(model(lambda rgb, scene: rgb * np.float32([1, 1, 0.998])), XTRANS)
    assert found["flat_bias_max"] == pytest.approx(2e-3, rel=1e-3)
    assert found["flat_0.18_bias_rms"] == pytest.approx(2e-3 / 3**0.5, rel=1e-3)
    assert found["flat_ripple_max"] < 1e-12


def test_a_clamp_at_black_lifts_noise_by_its_mean_positive_part():
    clamped = model(lambda rgb, scene: np.maximum(scene.mosaic, 0)[..., None].repeat(3, 2))
    found = probes.black_frame(clamped, XTRANS)
    assert found["black_bias_sigma"] == pytest.approx((2 * np.pi) ** -0.5, abs=0.005)  # of half a Gaussian
    assert found["black_bias_white"] == pytest.approx(found["black_bias_sigma"] * 4 / 15359)


@CFAS
def test_a_blurred_edge_is_worse_in_every_case(cfa):
    found = probes.edges(BLURRED, cfa)
    assert len(found["edge_cases"]) == 28 * 4
    assert min(found["edge_cases"].values()) > 0.05
    # Between black and white all channels are wrong, between black and red one: a third of the squares.
    assert found["edge_cases"]["KW 0°"] == pytest.approx(found["edge_cases"]["KR 0°"] * 3**0.5, rel=1e-6)
    assert found["edge_cases"][found["edge_worst_case"]] == found["edge_rmse_worst"]


@CFAS
def test_edges_of_each_angle_are_seen_at_all_phases(cfa):
    phases = {}
    for scene, angle in probes.edge_scenes(cfa).values():
        phases.setdefault(angle, set()).add(scene.cfa)
    assert phases == {angle: set(cfa.phases) for angle in scenes.EDGE_ANGLES_DEG}


def test_a_fault_of_upright_and_level_edges_is_found_at_their_angles_alone():
    def fault(rgb, scene):
        return rgb + 0.01 * (angle_of(scene) in (0, 90)) * scenes.GAINS

    found = probes.edges(model(fault), XTRANS)
    by_angle = [found[f"edge_{angle}deg_rmse_mean"] for angle in (0, 30, 45, 90)]
    assert by_angle == pytest.approx([0.01, 0, 0, 0.01], rel=1e-4)
    assert found["edge_rmse_mean"] == pytest.approx(0.005, rel=1e-4)


def angle_of(scene):
    return int(scene.name.removesuffix("°").split()[1])


def test_a_mean_that_holds_says_at_which_angles_it_does_not():
    reference = {"edge_rmse_mean": 0.04} | {f"edge_{a}deg_rmse_mean": 0.02 for a in (0, 30, 45, 90)}
    worse = {"edge_0deg_rmse_mean": 0.021, "edge_90deg_rmse_mean": float("nan")}
    found = check(reference | {"edge_rmse_mean": 0.03} | worse, reference)
    assert (
        verdicts(found)[4]
        == "saturated edges: mean RMSE: 0.03, at most 0.04: holds in the mean; worse at 0, 90 degrees"
    )
    assert verdicts(check(reference, reference))[4].endswith("at most 0.04: holds")


@pytest.mark.parametrize(("distance_px", "counts"), [(4, True), (7, False)])
def test_only_the_band_around_an_edge_counts(distance_px, counts):
    def fault(rgb, scene):
        return rgb + (np.abs(scenes.edge_distance(112, angle_of(scene))) > distance_px)[..., None]

    found = probes.edges(model(fault), XTRANS)
    assert (found["edge_rmse_mean"] > 0.3) if counts else (found["edge_rmse_worst"] == 0)


def test_edges_lie_at_their_angle():
    upright, level, slanted = (scenes.edge(64, angle) for angle in (0, 90, 45))
    assert (upright == upright[:1]).all()
    assert (level == upright.T).all()
    assert (slanted == slanted.T).all()
    assert slanted[0, 0] == 0
    assert slanted[-1, -1] == 1
    assert upright.mean() == pytest.approx(0.5 - 0.3 / 64, abs=1 / 64 / 8)


def test_an_offset_costs_what_a_change_of_exposure_makes_of_it():
    found = probes.exposure(model(lambda rgb, scene: rgb + np.float32(1e-3)), XTRANS, PICTURES)
    for ev in (-2, -2.5, -4, -6, 2):
        assert found[f"exposure_{ev:+g}ev_loss_db"] == pytest.approx(-20 * np.log10(2) * ev, abs=0.01)


@CFAS
def test_14_bit_steps_cost_a_network_what_their_uniform_error_says(cfa):
    grey = np.random.default_rng(0).uniform(size=(160, 160, 1)).astype(np.float32).repeat(3, 2)

    def samples(rgb, scene):  # each pixel's own, which is all that a grey picture needs
        balanced = scene.mosaic * scene.cfa.per_photosite(scene.white_balance, *scene.mosaic.shape)
        return balanced[..., None] * scenes.GAINS

    found = probes.exposure(model(samples), cfa, {"noise": grey})
    for ev in (-2, -2.5, -4, -6, 2):
        assert found[f"exposure_{ev:+g}ev_14bit_loss_db"] == pytest.approx(-20 * np.log10(2) * ev, abs=0.15)
    assert found["exposure_-6ev_loss_db"] < 1e-3


def test_a_demosaicer_of_integers_is_asked_for_14_bit_steps_alone():
    found = probes.exposure(replace(BLURRED, algorithm="markesteijn3"), XTRANS, PICTURES)
    assert len(found) == 2 * len(probes.EXPOSURES_EV)
    assert all("_14bit_" in key for key in found)


def test_clipping_at_white_costs_only_in_the_bright_exposure():
    found = probes.exposure(model(lambda rgb, scene: np.minimum(rgb, 0.5) + np.float32(1e-6)), XTRANS, PICTURES)
    assert found["exposure_+2ev_loss_db"] > 20
    assert found["exposure_-2ev_loss_db"] < 20


@CFAS
def test_a_picture_that_moves_with_the_phase_is_found(cfa):
    moved = cfa.shift(1, 1)
    moves = model(lambda rgb, scene: np.roll(rgb, 1, 1) if scene.cfa == moved else rgb)
    assert probes.phases(moves, cfa)["phase_difference_max"] > 0.3


@pytest.mark.parametrize("cell", [4, 8])
@CFAS
def test_cells_that_count_from_the_frames_corner_are_found_at_their_size(cfa, cell):
    def first_rows(rgb, scene):
        return rgb + np.float32(1e-3 * (np.arange(len(rgb)) % cell == 0)[:, None, None])

    found = probes.frame_origin(model(first_rows), cfa, cell)
    assert found["origin_difference_max"] == pytest.approx(1e-3, rel=1e-3)
    # Two rows of a cell differ in the crops that begin below and diagonally, none in those that begin to the right.
    assert found["origin_difference_rms"] == pytest.approx(1e-3 * (2 / 3 * 2 / cell) ** 0.5, rel=1e-3)


def test_false_colour_of_a_grey_zone_plate_is_measured_against_its_contrast():
    def colours(rgb, scene):
        grey = rgb[..., 1:2] / scenes.GAINS[1]
        balanced = np.concatenate([grey + 0.1 * (grey - grey[24:-24, 24:-24].mean()), grey, grey], 2)
        return balanced * scenes.GAINS

    assert probes.zone_plate(model(colours), XTRANS)["zone_plate_false_colour"] == pytest.approx(0.1**2 / 2, rel=1e-3)


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.5])
def test_mtf50_of_a_gaussian_blur_is_what_its_formula_says(sigma):
    across = scenes.edge_distance(160, scenes.SLANT_DEG)
    plane = 0.5 + 0.5 * erf(across / sigma / 2**0.5)
    expected = (2 * np.log(2)) ** 0.5 / (2 * np.pi * sigma)  # where exp(-2 (pi sigma f)^2) is a half
    assert mtf50(plane, across) == pytest.approx(expected, rel=0.015)
    assert mtf50(3 * plane - 7, across) == pytest.approx(mtf50(plane, across), rel=1e-9)


def test_mtf50_of_pixels_and_a_blur_is_that_of_both_together():
    expected = brentq(lambda f: np.sinc(f) * np.exp(-2 * (np.pi * f) ** 2) - 0.5, 0.01, 0.9)
    found = probes.slanted_edge(BLURRED, XTRANS)
    assert found["mtf50"] == pytest.approx(expected, rel=0.03)
    assert found["mtf50_relative"] == pytest.approx(found["mtf50"] / found["mtf50_truth"])
    assert found["mtf50_truth"] == pytest.approx(brentq(lambda f: np.sinc(f) - 0.5, 0.01, 0.9), rel=0.03)


def test_an_edge_that_is_not_slanted_is_refused():
    with pytest.raises(ValueError, match=r"leave bins of 0\.25 px across the edge empty"):
        mtf50(scenes.edge(64, 0), scenes.edge_distance(64, 0))


def test_the_difference_of_two_models_is_the_largest_of_any_picture():
    def seam(rgb, scene):
        out = rgb.copy()
        out[:, 40] += 2e-4 * scenes.GAINS
        return out

    found, psnr_db = probes.difference(model(seam), TRUTH, XTRANS, PICTURES)
    assert found == pytest.approx(2e-4, rel=1e-3)
    assert psnr_db == pytest.approx(-10 * np.log10(2e-4**2 / 96), abs=0.02)  # one column of 96


def test_a_model_that_gives_nan_does_not_pass():
    broken = model(lambda rgb, scene: rgb * np.nan)
    measured = probes.flat_grey(broken, XTRANS) | {"seam_max": probes.difference(broken, TRUTH, XTRANS, PICTURES)[0]}
    limits = check(measured, {"edge_rmse_mean": 0.04})
    assert [limit["holds"] for limit in limits] == [False, False, None, False, None, None]
    stored = json.loads(json.dumps(evaluate.json_safe(limits)))
    assert verdicts(stored)[0] == "flat grey: ripple, of the level: not a number, at most 0.0001: fails"


@pytest.fixture(scope="module")
def report():
    """(candidates, suites, parts, report): a network with a seam, sharper than the reference but for one image."""
    images = [
        evaluate.Scene(f"{i}", XTRANS.mosaic(rgb), rgb, XTRANS, np.ones(3), None) for i, rgb in enumerate(_four())
    ]

    def network(rgb, scene):
        return gaussian_filter(rgb, (2, 2, 0)) if scene.name == "2" else gaussian_filter(rgb, (0.5, 0.5, 0))

    own = model(network, "net")
    seam = model(lambda rgb, scene: network(rgb, scene) + np.pad(np.float32([[[1e-3]]]), ((0, 287), (0, 287), (0, 2))))
    variants = {"untiled": own, "tiled": seam, "bf16": own, "fp16": model(lambda rgb, scene: rgb * np.nan)}
    candidates = [Candidate(own, variants), Candidate(replace(BLURRED, name="markesteijn3", algorithm="markesteijn3"))]
    parts, suites = [], {"truth:four": images}
    found = measure(candidates, "xtrans", suites, parts.append)
    return candidates, suites, parts, json.loads(json.dumps(evaluate.json_safe(found)))


def _four():
    picture = scenes.pictures()["coffee-0"]
    return [picture[y : y + 96, x : x + 96] for y in (0, 96) for x in (0, 96)]


def test_a_report_says_which_limits_hold_next_to_the_reference(report):
    *_, found = report
    assert list(found["limits"]) == ["net"]  # LibRaw is held to none
    assert {limit["measure"]: limit["holds"] for limit in found["limits"]["net"]} == {
        "flat_ripple_max": True,
        "flat_bias_max": True,
        "exposure_-6ev_loss_max_db": True,
        "seam_max": False,
        "edge_rmse_mean": True,
        "worse_share": False,
    }


def test_a_report_names_the_images_that_are_worse_than_the_references(report):
    *_, found = report
    own = found["models"]["net"]
    assert own["worse_share"] == 0.25
    assert next(iter(own["worst_images"])) == "truth:four/2"
    assert len(own["worst_images"]) == 3
    values = list(own["worst_images"].values())
    assert values == sorted(values)
    assert values[0] < 0 < values[1]


def test_a_table_has_a_column_for_each_model_and_a_row_for_each_measure(report):
    *_, found = report
    head, rows = table(found)
    assert head == ["", "net", "markesteijn3"]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["tile seams: max difference"] == ["0.002", ""]  # 0.001 in red, white balanced
    assert cells["saturated edges: worse than reference"] == ["0", ""]
    assert all(cells["saturated edges, 45°: RMSE, mean"])
    assert all(cells["frame origin: max difference, shifted"])
    assert cells["-6 EV: loss (dB), worst"][1] == ""
    assert all(cells["-6 EV, 14-bit steps: loss (dB), worst"])
    assert "fp16 against fp32: PSNR (dB)" not in cells  # nan: nothing to show, and no row of nothing


def test_progress_is_told_of_every_part(report):
    candidates, suites, parts, _ = report
    assert len(parts) == part_count(candidates, suites) == 2 * 9 + 4


def test_a_panel_shows_the_zone_plate_and_the_worst_edges_of_each_model(report):
    candidates, _, _, found = report
    picture = panel(candidates, found)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 4 * 288
    assert picture.shape[0] >= 2 * (288 + 112 + 2 * 14)


def test_a_report_without_its_reference_is_refused():
    with pytest.raises(ValueError, match="needs markesteijn3 among its models: fake"):
        measure([Candidate(TRUTH)], "xtrans", {})


@pytest.mark.parametrize("family", ["xtrans", "bayer"])
def test_a_networks_tiles_and_precisions_are_compared(tmp_path, family):
    network, arguments = build("packed", family=family, width=8, blocks=1), {"family": family, "width": 8, "blocks": 1}
    save_weights(tmp_path / "best.pt", {"name": "packed", **arguments}, network.state_dict(), family, {})
    candidate = load_candidate(str(tmp_path / "best.pt"), family)
    assert candidate.multiple == network.multiple > 1
    cfa = {"xtrans": XTRANS, "bayer": RGGB}[family]
    pictures = {"coffee": scenes.pictures()["coffee-0"]}
    differ = {k: probes.difference(v, candidate.model, cfa, pictures)[0] for k, v in candidate.variants.items()}
    assert differ.keys() == {"tiled", "untiled", "bf16", "fp16"}
    assert max(differ["tiled"], differ["untiled"]) < 1e-5
    assert differ["bf16"] > differ["fp16"] > 1e-5  # 8 and 11 bits of precision


def test_a_libraw_algorithm_has_no_tiles_to_compare():
    assert load_candidate("markesteijn3", "xtrans").variants == {}


def test_a_model_that_is_not_there_is_refused():
    with pytest.raises(CheckpointError, match="markesteijn7: neither a checkpoint file nor a released model"):
        load_candidate("markesteijn7", "xtrans")


def test_the_scripts_error_is_one_line_that_names_the_model(run_script):
    status, out, err = run_script("utils/robustness.py", "--models", "nobody")
    assert (status, out) == (1, "")
    assert err.startswith("robustness: nobody: neither")
    assert err.count("\n") == 1


@pytest.fixture
def truth(tmp_path, monkeypatch):
    """../shared/data/truth, empty, of a working directory of its own"""
    folder, work = tmp_path / "shared/data/truth", tmp_path / "work"
    folder.mkdir(parents=True)
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


def test_the_script_compares_pictures_of_the_default_suites_where_they_are(truth, run_script):
    (truth / "mcmaster18").mkdir()
    status, out, err = run_script("utils/robustness.py", "--models", "markesteijn3")
    assert (status, out) == (1, "no such folder: the default suite truth=../shared/data/truth/kodak24 is left out\n")
    assert err.startswith("robustness: ../shared/data/truth/mcmaster18: no folder with images")


def test_a_suite_that_is_named_is_instead_of_the_default_ones(truth, run_script):
    status, out, err = run_script("utils/robustness.py", "--models", "markesteijn3", "--suite", "truth=here")
    assert (status, out) == (1, "")
    assert err.startswith("robustness: here: no folder with images")


@pytest.mark.slow
def test_the_script_prints_the_report_and_writes_it(tmp_path, truth, run_script):
    (truth / "kodak24").mkdir()
    Image.fromarray(np.uint8(scenes.pictures()["coffee-0"] * 255)).save(truth / "kodak24/coffee.png")
    files, name = (
        ("--json", tmp_path / "deep/out.json", "--panel", tmp_path / "panel.png"),
        str(ROOT / "models/xtrans-s"),
    )
    status, out, err = run_script("utils/robustness.py", "--models", name, *files)
    assert status == 0, err
    found = json.loads((tmp_path / "deep/out.json").read_text())
    assert list(found["models"]) == [name, "markesteijn3"]
    assert found["weights_sha256"] == {name: file_sha256(ROOT / "models/xtrans-s/weights.safetensors")}
    assert found["models"]["markesteijn3"]["black_bias_sigma"] == pytest.approx(0.39, abs=0.05)  # LibRaw clamps
    assert found["limits"][name][0]["holds"] is True
    assert found["models"][name]["worst_images"].keys() == {"truth:kodak24/coffee"}
    assert "suites: truth:kodak24\n" in out
    assert "share of images worse than the reference: 0, at most 0.01: holds" in out
    assert (tmp_path / "panel.png").stat().st_size > 10_000
