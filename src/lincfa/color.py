"""Colour, for eyes, figures and metrics; never for training targets.

camera RGB --camera_to_srgb--> linear sRGB --linear_to_srgb--> sRGB-coded
                                    '--linear_srgb_to_xyz--> XYZ --xyz_to_lab--> Lab

White is D65 throughout. Nothing is clipped but for eyes (`encode_for_eyes`, `render_for_eyes`): highlights above 1, and
the negative values of noise and of colours outside the gamut, stay what they are.
"""

from __future__ import annotations

import numpy as np
import skimage.color
import torch

D65_XYZ = np.array(
    [0.95047, 1.0, 1.08883]
)  # ASTM E308, 2 degrees; the white of scikit-image, so that grey has a = b = 0
D65_XY = (0.3127, 0.3290)  # as standards round it
PRIMARIES_XY = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])  # R, G, B of ITU-R BT.709, adopted by sRGB


def srgb_to_linear(srgb):
    """Undo the sRGB curve: numpy or torch floats, any shape, nominally [0, 1] -> the same shape and dtype, linear.

    Extended: the power law goes on above 1 and the curve is odd below 0. The gradient is finite everywhere.
    Source: IEC 61966-2-1:1999, section 5.2.
    """
    return _odd_curve(srgb, 0.04045, 1 / 12.92, lambda v: ((v + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(rgb):
    """The sRGB curve: numpy or torch floats, any shape, nominally [0, 1], linear -> the same shape and dtype.

    Extended: the power law goes on above 1 and the curve is odd below 0. The gradient is finite everywhere.
    Source: IEC 61966-2-1:1999, section 5.2.
    """
    return _odd_curve(rgb, 0.0031308, 12.92, lambda v: 1.055 * v ** (1 / 2.4) - 0.055)


def camera_to_srgb_matrix(xyz_to_camera: np.ndarray) -> np.ndarray:
    """[3, 3] float64: white-balanced linear camera RGB -> linear sRGB, as column vectors; (1, 1, 1) stays (1, 1, 1).

    xyz_to_camera: [3, 3], XYZ under D65 -> camera RGB (the first three rows of LibRaw's rgb_xyz_matrix; DNG's
    ColorMatrix for D65). The scale of its rows does not matter, since white balance has already been applied.
    Raises ValueError for another shape, or a matrix that cannot be inverted: LibRaw gives zeros for unknown cameras.
    Source: the row normalisation of dcraw's cam_xyz_coeff (D. Coffin).
    """
    xyz_to_camera = np.asarray(xyz_to_camera, np.float64)
    if xyz_to_camera.shape != (3, 3) or np.linalg.matrix_rank(xyz_to_camera) < 3:
        raise ValueError(f"an invertible [3, 3] matrix from XYZ to camera RGB is needed, not {xyz_to_camera.tolist()}")
    srgb_to_camera = xyz_to_camera @ LINEAR_SRGB_TO_XYZ
    white = srgb_to_camera.sum(axis=1, keepdims=True)
    if (white <= 0).any():
        raise ValueError(f"the camera matrix sees no light in white: it gives {white.ravel().tolist()} for D65")
    return np.linalg.inv(srgb_to_camera / white)


def camera_to_srgb(rgb: np.ndarray, white_balance: np.ndarray, xyz_to_camera: np.ndarray) -> np.ndarray:
    """rgb: [..., 3] linear camera RGB, any range -> [..., 3] linear sRGB, float32 or wider, not clipped.

    white_balance: [3] multipliers with green = 1. xyz_to_camera: see `camera_to_srgb_matrix`.
    Raises ValueError when green is not 1 (the picture would change in brightness) or the matrix is of no use.
    """
    white_balance = np.asarray(white_balance, np.float64)
    if white_balance.shape != (3,) or white_balance[1] != 1:
        raise ValueError(f"white balance is three multipliers with green = 1, not {white_balance.tolist()}")
    # Columns are scaled instead of the image: one pass over the pixels.
    return _apply_matrix(camera_to_srgb_matrix(xyz_to_camera) * white_balance, rgb)


def linear_srgb_to_xyz(rgb: np.ndarray) -> np.ndarray:
    """rgb: [..., 3] linear sRGB, any range -> [..., 3] XYZ, with Y = 1 for white."""
    return _apply_matrix(LINEAR_SRGB_TO_XYZ, rgb)


def xyz_to_lab(xyz: np.ndarray) -> np.ndarray:
    """xyz: [..., 3], Y = 1 for white, any range -> [..., 3] CIELAB (D65); L passes 100 above white and 0 below black.

    Source: CIE 15, as scikit-image has it (negative values continue the straight part).
    """
    return skimage.color.xyz2lab(np.asarray(xyz, np.result_type(xyz, np.float32)), illuminant="D65", observer="2")


def encode_for_eyes(rgb_linear_srgb: np.ndarray, bits: int = 8) -> np.ndarray:
    """[..., 3] linear sRGB, any range -> [..., 3] uint8 (bits = 8) or uint16 (16), clipped to [0, 1] and sRGB-coded."""
    return np.round((2**bits - 1) * linear_to_srgb(np.clip(rgb_linear_srgb, 0, 1))).astype(f"uint{bits}")


def render_for_eyes(rgb: np.ndarray, white_balance: np.ndarray, xyz_to_camera: np.ndarray, bits: int = 8) -> np.ndarray:
    """rgb: [..., 3] linear camera RGB, any range -> [..., 3] uint8 or uint16 sRGB: balance, matrix, curve, and no more.

    Where the sensor saturates the picture is white: balanced values are cut where the channel of the least multiplier
    saturates, and that is 1.0. Without that cut saturated skies would be magenta.
    Other arguments and errors: see `camera_to_srgb`, `encode_for_eyes`. Source: dcraw's highlight mode 0 (D. Coffin).
    """
    ceiling = float(np.min(white_balance))
    saturation = np.asarray(ceiling / white_balance, np.float32)  # of each channel, at the cut
    return encode_for_eyes(camera_to_srgb(np.minimum(rgb, saturation), white_balance, xyz_to_camera) / ceiling, bits)


def _odd_curve(values, knee: float, slope: float, curve):
    """slope * v where |v| <= knee, else curve(|v|) with the sign of v."""
    xp = torch if isinstance(values, torch.Tensor) else np
    # The curve's own slope may be infinite at 0; held at the knee, its unused branch cannot put inf * 0 in a gradient.
    outer = xp.sign(values) * curve(xp.abs(values).clip(min=knee))
    return xp.where(xp.abs(values) <= knee, slope * values, outer)


def _apply_matrix(matrix: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return pixels @ matrix.T.astype(np.result_type(pixels, np.float32))


def _rgb_to_xyz_matrix(primaries_xy: np.ndarray, white_xyz: np.ndarray) -> np.ndarray:
    """[3, 3]: the primaries' XYZ as columns, each scaled so that together they make white."""
    x, y = primaries_xy.T
    columns = np.stack([x / y, np.ones(3), (1 - x - y) / y])
    return columns * np.linalg.solve(columns, white_xyz)


LINEAR_SRGB_TO_XYZ = _rgb_to_xyz_matrix(PRIMARIES_XY, D65_XYZ)
