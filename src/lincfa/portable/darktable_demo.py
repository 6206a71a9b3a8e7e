"""Demo of a lincfa ONNX file, and how to call one without lincfa: needs numpy, onnxruntime and Pillow only.

The picture is taken for a scene, seen through the model's colour filter array, and demosaicked:

    python demo.py --model model.onnx --image photograph.jpg --output demosaicked.png
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import onnxruntime
from PIL import Image


def demo(model: str, image: str, output: str, max_size: int = 1024) -> None:
    """model: path of the ONNX file. image: an sRGB picture, made smaller to max_size. output: the PNG to write."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    picture = Image.open(image).convert("RGB")
    picture.thumbnail((max_size, max_size))
    multiple = int(facts["multiple_px"])
    height, width = (n // multiple * multiple for n in (picture.height, picture.width))
    rgb = srgb_to_linear(np.asarray(picture, np.float32)[:height, :width] / 255)
    tile = np.array([["RGB".index(c) for c in row] for row in facts["cfa"].split()])
    colors = np.tile(tile, (-(-height // len(tile)), -(-width // len(tile[0]))))[:height, :width]
    mosaic = np.take_along_axis(rgb, colors[..., None], 2)[..., 0]
    mean = float(mosaic.mean())
    gain = 2.0 ** min(16, round(math.log2(0.18 / mean))) if mean > 0 else 1.0
    inputs = {"mosaic": (mosaic * np.float32(gain))[None, None]}
    if "noise" in {entry.name for entry in session.get_inputs()}:
        inputs["noise"] = np.zeros((1, 3, 2), np.float32)
    (result,) = session.run(["rgb"], inputs)
    shown = linear_to_srgb(result[0].transpose(1, 2, 0) / gain)
    Image.fromarray(np.rint(shown * 255).astype(np.uint8)).save(output, "PNG")


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--max-size", type=int, default=1024)
    demo(**vars(parser.parse_args()))
