"""When a module is patched, and how its names change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.config.paths import InstallPaths, install_paths
from deploy.setup import glibc
from deploy.setup.screen import SetupFailed

OLD = "ImportError: libc.so.6: version `GLIBC_2.38' not found (required by x.so)"


@pytest.mark.parametrize(
    ("error", "patched"),
    [
        (OLD, True),
        ("ImportError: libstdc++.so.6: version `CXXABI_1.3.15' not found", True),
        ("ImportError: libtensorflow.so: cannot open shared object file", False),
    ],
)
def test_only_missing_versions_are_patched(error: str, patched: bool) -> None:
    assert glibc.LoadResult(ok=False, error=error).needs_patch is patched


def test_a_module_that_loads_is_not_patched() -> None:
    assert not glibc.LoadResult(ok=True).needs_patch


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="_"), min_size=1))
def test_other_symbols_keep_their_names(name: str) -> None:
    assert glibc.renamed(name) == name


def test_hashes_are_those_of_the_loader() -> None:
    # readelf -V shows them for any library: GLIBC_2.2.5 and GLIBCXX_3.4
    assert glibc.elf_hash("GLIBC_2.2.5") == 0x09691A75
    assert glibc.elf_hash("GLIBCXX_3.4") == 0x08922974


def test_load_returns_the_loaders_error(tmp_path: Path) -> None:
    file = tmp_path / "broken.so"
    file.write_bytes(b"no elf")
    result = glibc.load(Path(sys.executable), file)
    assert not result.ok
    assert "broken.so" in result.error


def test_a_missing_package_gives_advice(tmp_path: Path) -> None:
    nowhere = InstallPaths(opt=tmp_path, python=tmp_path / "venv" / "bin" / "python")
    with pytest.raises(SetupFailed, match="make setup"):
        glibc.install(nowhere)


@pytest.mark.engine
def test_patched_copy_loads_and_original_is_untouched(tmp_path: Path) -> None:
    """Patching is harmless where it is not needed, and repeated patching changes nothing more."""
    paths = install_paths()
    for name in glibc.MODULES:
        copy = tmp_path / Path(name).name
        shutil.copy(paths.site_packages / name, copy)
        before = (paths.site_packages / name).read_bytes()
        glibc.patch(copy)
        glibc.patch(copy)
        assert glibc.load(paths.python, copy).ok
        assert (paths.site_packages / name).read_bytes() == before


@pytest.mark.engine
def test_packages_work_in_a_fresh_process() -> None:
    code = (
        "import tensorflow_data_validation as tfdv, pandas as pd\n"
        "from ml_metadata.metadata_store import metadata_store\n"
        "from ml_metadata.proto import metadata_store_pb2 as pb\n"
        "s = tfdv.generate_statistics_from_dataframe(pd.DataFrame({'x': [1.0, 2.0]}))\n"
        "assert tfdv.infer_schema(s).feature[0].name == 'x'\n"
        "c = pb.ConnectionConfig(); c.fake_database.SetInParent()\n"
        "assert metadata_store.MetadataStore(c).get_artifacts() == []\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
