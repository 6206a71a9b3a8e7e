import numpy as np
import pytest
import skimage.color
import torch

from lincfa import color

# A real camera's matrix (Fujifilm X-T2, D65), so that rows have unequal sums and negative entries.
XYZ_TO_CAMERA = np.array([[1.1434, -0.4948, -0.1210], [-0.3746, 1.2042, 0.1903], [-0.0666, 0.1479, 0.5235]])


def test_the_srgb_curve_has_the_values_of_the_standard():
    linear = np.array([0.0, 0.002, 0.0031308, 0.18, 0.5, 1.0])
    # By hand from IEC 61966-2-1: 12.92 v, then 1.055 v^(1/2.4) - 0.055.
    coded = np.array([0.0, 0.02584, 0.040449936, 0.461356, 0.735357, 1.0])
    np.testing.assert_allclose(color.linear_to_srgb(linear), coded, atol=1e-6)
    np.testing.assert_allclose(color.srgb_to_linear(coded), linear, atol=1e-6)


def test_the_srgb_curve_goes_on_above_one_and_is_odd():
    assert color.linear_to_srgb(np.array(4.0)) == pytest.approx(1.055 * 4 ** (1 / 2.4) - 0.055)
    values = np.linspace(0, 8, 1001)
    for curve in (color.linear_to_srgb, color.srgb_to_linear):
        np.testing.assert_array_equal(curve(-values), -curve(values))
        assert (np.diff(curve(values)) > 0).all()


def test_decoding_undoes_encoding_in_numpy_and_torch():
    values = np.linspace(-2, 8, 20001)
    # The standard's rounded constants leave a step of some 1e-8 at the knee.
    np.testing.assert_allclose(color.srgb_to_linear(color.linear_to_srgb(values)), values, atol=1e-7)
    tensor = torch.from_numpy(values)
    torch.testing.assert_close(color.srgb_to_linear(color.linear_to_srgb(tensor)), tensor, rtol=0, atol=1e-7)


@pytest.mark.parametrize("curve", [color.linear_to_srgb, color.srgb_to_linear])
def test_numpy_and_torch_agree_and_keep_the_dtype(curve):
    values = np.linspace(-1, 3, 999, dtype=np.float32)
    from_torch = curve(torch.from_numpy(values))
    assert curve(values).dtype == np.float32
    assert from_torch.dtype == torch.float32
    np.testing.assert_allclose(from_torch.numpy(), curve(values), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("curve", "slope_at_black"), [(color.linear_to_srgb, 12.92), (color.srgb_to_linear, 1 / 12.92)]
)
def test_the_gradient_is_finite_everywhere_and_right_at_black(curve, slope_at_black):
    values = torch.tensor([-4.0, -1e-30, 0.0, 1e-30, 0.0031308, 0.04045, 0.5, 1.0, 100.0], requires_grad=True)
    curve(values).sum().backward()
    assert torch.isfinite(values.grad).all()
    assert values.grad[2].item() == pytest.approx(slope_at_black)
    inside = torch.tensor([-0.5, -0.001, 0.001, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(curve, inside)


def test_the_srgb_matrix_is_the_published_one_and_white_is_d65():
    # IEC 61966-2-1 prints four digits and rounds its white to x, y = 0.3127, 0.3290.
    standard = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    np.testing.assert_allclose(color.LINEAR_SRGB_TO_XYZ, standard, atol=3e-4)
    np.testing.assert_allclose(color.linear_srgb_to_xyz(np.ones(3)), [0.95047, 1.0, 1.08883], atol=1e-12)


def test_xyz_and_lab_agree_with_scikit_image():
    srgb = np.random.default_rng(0).random((20, 20, 3))
    xyz = color.linear_srgb_to_xyz(color.srgb_to_linear(srgb))
    # scikit-image's matrix has another rounding of the white, about 1e-4 off.
    np.testing.assert_allclose(xyz, skimage.color.rgb2xyz(srgb), atol=2e-4)
    np.testing.assert_allclose(color.xyz_to_lab(xyz), skimage.color.rgb2lab(srgb), atol=0.03)


def test_lab_has_its_known_values_and_does_not_clip():
    red, white, bright, black, below = [1.0, 0, 0], [1.0] * 3, [8.0] * 3, [0.0] * 3, [-0.01] * 3
    lab = color.xyz_to_lab(color.linear_srgb_to_xyz(np.array([red, white, bright, black, below])))
    # Red is the published 53.24, 80.09, 67.20; L of 8 times white is 116 * 2 - 16; below black, L is 903.3 Y.
    np.testing.assert_allclose(lab[0], [53.24, 80.09, 67.20], atol=0.01)
    np.testing.assert_allclose(lab[1:], [[100, 0, 0], [216, 0, 0], [0, 0, 0], [-9.033, 0, 0]], atol=1e-3)


def test_a_camera_under_d65_gives_back_the_scene_times_its_green_sensitivity():
    scene = np.random.default_rng(0).random((5, 4, 3)) * 3 - 0.5
    camera = color.linear_srgb_to_xyz(scene) @ XYZ_TO_CAMERA.T
    white = XYZ_TO_CAMERA @ color.D65_XYZ
    srgb = color.camera_to_srgb(camera, white[1] / white, XYZ_TO_CAMERA)
    np.testing.assert_allclose(srgb, scene * white[1], atol=1e-12)


def test_camera_white_is_srgb_white_whatever_the_scale_of_the_matrix_rows():
    white_balance = np.array([2.1, 1.0, 1.6])
    for matrix in (XYZ_TO_CAMERA, XYZ_TO_CAMERA * [[2.0], [0.5], [7.0]]):
        np.testing.assert_allclose(color.camera_to_srgb(1 / white_balance, white_balance, matrix), np.ones(3))


def test_a_camera_that_is_srgb_needs_no_conversion():
    matrix = np.linalg.inv(color.LINEAR_SRGB_TO_XYZ)
    np.testing.assert_allclose(color.camera_to_srgb_matrix(matrix), np.eye(3), atol=1e-12)


def test_camera_to_srgb_keeps_float32_and_takes_integers():
    adu = np.array([[1000, 2000, 500], [16383, 0, 7]], np.uint16)
    expected = color.camera_to_srgb(adu.astype(np.float64), np.ones(3), XYZ_TO_CAMERA)
    for rgb in (adu, adu.astype(np.float32)):
        srgb = color.camera_to_srgb(rgb, np.ones(3), XYZ_TO_CAMERA)
        assert srgb.dtype == np.float32
        np.testing.assert_allclose(srgb, expected, atol=1e-6 * 16383)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.zeros((4, 3)), np.diag([1.0, 1.0, -1.0])])
def test_a_useless_camera_matrix_is_refused(matrix):
    with pytest.raises(ValueError, match="matrix"):
        color.camera_to_srgb_matrix(matrix)


@pytest.mark.parametrize("white_balance", [[2.0, 1.1, 1.5], [2.0, 1.0, 1.5, 1.0]])
def test_white_balance_that_would_change_the_brightness_is_refused(white_balance):
    with pytest.raises(ValueError, match="green = 1"):
        color.camera_to_srgb(np.ones(3), white_balance, XYZ_TO_CAMERA)


def test_what_eyes_see_is_clipped_coded_and_rounded():
    seen = color.encode_for_eyes(np.array([[-0.5, 0.0, 0.18], [0.5, 1.0, 7.0]]))
    assert seen.dtype == np.uint8
    assert seen.tolist() == [[0, 0, 118], [188, 255, 255]]  # 255 * 0.461356 = 117.6, 255 * 0.735357 = 187.5


def test_sixteen_bits_are_the_same_picture_finer():
    srgb = np.linspace(-0.1, 1.2, 999)
    fine = color.encode_for_eyes(srgb, bits=16)
    assert fine.dtype == np.uint16
    assert fine.max() == 65535
    assert np.abs(fine / 257 - color.encode_for_eyes(srgb)).max() <= 0.5


def test_a_rendered_scene_is_the_scene_and_saturated_sensors_are_white():
    """A scene in linear sRGB, seen by the camera under D65, comes back as its sRGB code; a lamp is white."""
    scene = np.array([[0.2, 0.2, 0.2], [0.05, 0.3, 0.1], [0.4, 0.1, 0.3], [50, 50, 50]])
    white = XYZ_TO_CAMERA @ color.D65_XYZ
    camera = np.minimum(color.linear_srgb_to_xyz(scene) @ XYZ_TO_CAMERA.T / white[1], 1)
    seen = color.render_for_eyes(camera, white[1] / white, XYZ_TO_CAMERA)
    np.testing.assert_array_equal(seen[:3], color.encode_for_eyes(scene[:3]))
    assert seen[3].tolist() == [255, 255, 255]


def test_saturated_sensors_are_white_where_a_multiplier_is_below_one_too():
    lamp = np.ones((2, 2, 3), np.float32)
    assert (color.render_for_eyes(lamp, np.array([0.7, 1.0, 1.9]), XYZ_TO_CAMERA, bits=16) == 65535).all()
