"""The versions of what specdec and its plugins require."""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, version

from attrs import frozen
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from specdec.doctor.finding import Finding, Status

KIT = "specdec-kit"
DEVELOPMENT = {"test", "dev"}
"""Extras that no user needs."""


@frozen
class Need:
    """A package that a distribution requires, for an extra of its own or always."""

    package: str
    versions: SpecifierSet
    distribution: str
    extra: str | None

    @property
    def install(self) -> str:
        """What pip installs it by."""
        what = f"{self.distribution}[{self.extra}]" if self.extra else f"{self.package}{self.versions}"
        return f"pip install '{what}'"


def versions(distributions: Iterable[str] = ()) -> Iterator[Finding]:
    """Compare what is installed with what specdec and these distributions require."""
    yield Finding("python", Status.OK, platform.python_version())
    needs = dict[str, list[Need]]()
    for distribution in dict.fromkeys((KIT, *distributions)):
        for need in (Need(distribution, SpecifierSet(), distribution, None), *_needs(distribution)):
            needs.setdefault(need.package, []).append(need)
    for package in sorted(needs, key=lambda package: all(need.extra for need in needs[package])):
        yield _judged(package, needs[package])


def _needs(distribution: str) -> Iterator[Need]:
    """List what a distribution requires on this machine, and for which of its extras."""
    try:
        described = metadata(distribution)
    except PackageNotFoundError:
        return
    extras = [extra for extra in described.get_all("Provides-Extra") or () if extra not in DEVELOPMENT]
    for text in described.get_all("Requires-Dist") or ():
        one = Requirement(text)
        for extra in (None, *extras):
            if one.marker is None or one.marker.evaluate({"extra": extra or ""}):
                yield Need(one.name, one.specifier, distribution, extra)
                break


def _judged(package: str, needs: list[Need]) -> Finding:
    first = min(needs, key=lambda need: need.extra is not None)
    try:
        installed = version(package)
    except PackageNotFoundError:
        if first.extra:
            return Finding(package, Status.INFO, f"not installed; {first.install}")
        return Finding(package, Status.FAILED, f"expected {package}{first.versions}, got none; {first.install}")
    for need in needs:
        if not need.versions.contains(installed, prereleases=True):
            message = f"expected {package}{need.versions} for {need.distribution}, got {installed}"
            status = Status.WARNING if need.extra else Status.FAILED
            return Finding(package, status, f"{message}; pip install '{package}{need.versions}'")
    return Finding(package, Status.OK, installed)
