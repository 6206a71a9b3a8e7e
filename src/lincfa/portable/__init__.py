"""Networks for other programs: ONNX files, and packages for darktable's neural models. docs/export.md is the guide.

Needs the packages of the extra 'onnx'; without them the import fails with a line that says so.
"""

from importlib.util import find_spec

for _package in ("onnx", "onnxruntime"):
    if find_spec(_package) is None:
        raise ModuleNotFoundError(f"ONNX needs the package {_package}: pip install 'lincfa[onnx]'", name=_package)
