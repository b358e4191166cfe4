"""Builds a wheel in which what every mail goes through is compiled (mypyc). Only with HATCH_BUILD_HOOKS_ENABLE=1.

What was compiled stands beside its source, which stays ordinary Python and does the same. Needs a C compiler and
Python's headers. It works on a copy: left in a checkout, it would hide what is edited there.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution


class CompiledModules(BuildHookInterface[Any]):
    """Its setting `modules` names files below src/."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # is what its source says
            return
        self._copy = tempfile.TemporaryDirectory()  # goes by itself when this fails
        source = shutil.copytree(Path(self.root, "src"), Path(self._copy.name, "src"))
        built = _compiled(source, self.config["modules"])
        build_data["force_include"] |= {str(each): str(each.relative_to(built)) for each in built.rglob("*.*")}
        build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._copy.cleanup()


def _compiled(source: Path, modules: list[str]) -> Path:
    """A directory beside `source` with what came of it."""
    before = Path.cwd()
    os.chdir(source)  # modules are named by where they are from here
    try:
        distribution = Distribution({"name": "postroom", "ext_modules": mypycify(modules)})
        build = distribution.get_command_obj("build_ext")
        build.build_lib = "../built"
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
    return source.parent / "built"
