"""Build from an empty folder: setuptools would pack modules again that are no longer there.

All else is in pyproject.toml. The same file serves both packages.
"""

from __future__ import annotations

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py


class EmptyBuild(build_py):
    """Copy the modules to where an earlier build left nothing."""

    def run(self) -> None:
        """Remove the last build's copies, then make this build's."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


setup(cmdclass={"build_py": EmptyBuild})
