"""Patches two extension modules so that they load on an older glibc than they were built for.

The wheels of tensorflow-data-validation and ml-metadata are tagged manylinux_2_39. On glibc < 2.38
(Debian 12, Ubuntu 22.04) their modules require versions that the machine's libraries do not have,
although the functions exist there under older names. The patch renames them:

- required versions GLIBC_2.38 to GLIBC_2.2.5; GLIBCXX_3.4.32 and CXXABI_1.3.15 to GLIBCXX_3.4
- symbols such as `__isoc23_strtol` to `strtol` (they differ in binary literals only),
  `__cxa_call_terminate` to `std::terminate`
- `std::ios_base_library_init` becomes weak (older libraries initialise without it)

A module that loads as it is stays unchanged. A file is replaced by rename, never written in place:
the package manager's cache shares it by a hard link.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.config.paths import PROJECT, InstallPaths
from deploy.setup import stamps
from deploy.setup.screen import SetupFailed

MODULES = (
    "tensorflow_data_validation/pywrap/tensorflow_data_validation_extension.so",
    "ml_metadata/metadata_store/pywrap/metadata_store_extension.so",
)
VERSIONS = {
    "GLIBC_2.38": "GLIBC_2.2.5",
    "GLIBCXX_3.4.32": "GLIBCXX_3.4",
    "CXXABI_1.3.15": "GLIBCXX_3.4",
}
SYMBOLS = {"__cxa_call_terminate": "_ZSt9terminatev"}
OPTIONAL = "_ZSt21ios_base_library_initv"
_C23 = "__isoc23_"

_LOAD = """
import importlib.machinery, importlib.util, pathlib, sys
path = pathlib.Path(sys.argv[1])
loader = importlib.machinery.ExtensionFileLoader(path.stem, str(path))
spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
loader.exec_module(importlib.util.module_from_spec(spec))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Result of loading a module in a new process."""

    ok: bool
    error: str = ""

    @property
    def needs_patch(self) -> bool:
        """Whether the patch fixes this error."""
        return not self.ok and any(name in self.error for name in VERSIONS)


def renamed(symbol: str) -> str:
    """The older name of a symbol; the same name if it has none.

    >>> renamed("__isoc23_strtoull"), renamed("__cxa_call_terminate"), renamed("strlen")
    ('strtoull', '_ZSt9terminatev', 'strlen')
    """
    if symbol.startswith(_C23):
        return symbol[len(_C23) :]
    return SYMBOLS.get(symbol, symbol)


def elf_hash(name: str) -> int:
    """The hash that the dynamic loader compares before the names (System V ABI, gABI 5).

    >>> hex(elf_hash("GLIBC_2.2.5"))
    '0x9691a75'
    """
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def load(python: Path, module: Path) -> LoadResult:
    """Load an extension module in a new process, without its package."""
    completed = subprocess.run(
        [str(python), "-c", _LOAD, str(module)], capture_output=True, text=True, check=False
    )
    if completed.returncode == 0:
        return LoadResult(ok=True)
    last = completed.stderr.strip().splitlines()[-1:] or [f"exit status {completed.returncode}"]
    return LoadResult(ok=False, error=last[0])


def patch(module: Path) -> None:
    """Rewrite one module so that an older glibc and libstdc++ can load it. Needs lief."""
    import lief

    binary = lief.ELF.parse(str(module))
    if binary is None:
        raise ValueError(f"{module} is not an ELF file; install its package again.")
    for requirement in binary.symbols_version_requirement:
        for version in requirement.get_auxiliary_symbols():
            if version.name in VERSIONS:
                version.name = VERSIONS[str(version.name)]
                version.hash = elf_hash(str(version.name))
    for symbol in binary.dynamic_symbols:
        symbol.name = renamed(str(symbol.name))
        if symbol.name == OPTIONAL:
            symbol.binding = lief.ELF.Symbol.BINDING.WEAK
    fresh = module.with_suffix(".patched")
    binary.write(str(fresh))
    fresh.chmod(module.stat().st_mode)
    os.replace(fresh, module)


def install(install_paths: InstallPaths) -> str:
    """Load the modules, patch those that need it, and verify them; returns a summary.

    Raises
    ------
    SetupFailed
        When a module does not load for another reason, or still does not load.
    """
    modules = [install_paths.site_packages / name for name in MODULES]
    missing = [module for module in modules if not module.exists()]
    if missing:
        raise SetupFailed(f"{missing[0]} is missing; run `make setup` to install the environment.")
    if stamps.done(install_paths.stamps, "glibc", stamps.identity(modules)):
        return "extension modules load (checked before)"
    patched = [module for module in modules if _repair(install_paths.python, module)]
    stamps.mark(install_paths.stamps, "glibc", stamps.identity(modules))
    return f"patched {len(patched)} of {len(modules)} extension modules for this machine's glibc"


def _repair(python: Path, module: Path) -> bool:
    result = load(python, module)
    if result.ok:
        return False
    if result.needs_patch:
        patch_in(python, module)
        result = load(python, module)
    if not result.ok:
        raise SetupFailed(
            f"{module.name} does not load: {result.error}. Driftline supports glibc 2.31 or newer "
            "on x86_64; use Debian 12, Ubuntu 22.04 or newer."
        )
    return True


def patch_in(python: Path, module: Path) -> None:
    """Run `patch` with the environment's Python, which has lief."""
    code = "import sys; from pathlib import Path; from deploy.setup import glibc; "
    code += "glibc.patch(Path(sys.argv[1]))"
    subprocess.run([str(python), "-c", code, str(module)], check=True, cwd=PROJECT)
