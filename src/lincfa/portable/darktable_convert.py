"""Conversion step of a darktable model package: the ONNX file of a released lincfa model. Needs lincfa[onnx]."""

from __future__ import annotations

import argparse


def convert(model: str, output: str) -> None:
    """model: a released model's name. output: the path to write."""
    from lincfa.portable.graph import save, to_onnx

    save(to_onnx(model), output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", required=True)
    convert(**vars(parser.parse_args()))
