"""Puts the released models into the wheel, as lincfa/released_models/. All else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithModels(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # that uses models/ where it is
            return
        for source in sorted(Path("models").glob("*/*")):
            target = Path(self.build_lib, "lincfa", "released_models", *source.parts[1:])
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target))


setup(cmdclass={"build_py": BuildWithModels})
