"""Writes down what a package consists of: a software bill of materials in JSON of CycloneDX 1.6.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from scripts.packaging.errors import PackagingError
from scripts.packaging.tree import OWN

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from scripts.packaging.dependencies import Distribution

# The time of the zip's entries too. The time of the build would make each bill a different one.
_NO_TIME = datetime(1980, 1, 1, tzinfo=timezone.utc)
_SCRIPT_OF_THE_PAGE = re.compile(r"handler/web/static/app-\w+\.js")


def write_bill(root: Path, package: Path, distributions: Sequence[Distribution]) -> Path:
    """Write the bill of the zip `package` beside it, and return its path.

    It lists the distributions with the files of each, and the libraries inside the page's script. Raises
    PackagingError if the zip has a file that belongs to nobody.
    """
    with zipfile.ZipFile(package) as archive:
        names = frozenset(archive.namelist())
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    digest = hashlib.sha256(package.read_bytes())
    function = Component(
        name=project["project"]["name"],
        version=project["project"]["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["project"]["name"],
        licenses=[LicenseFactory().make_from_string(project["project"]["license"])],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest.hexdigest())],
    )
    files = {found.name: _files(found, names) for found in distributions}
    _require_owners(names, files.values())
    # Of some distributions nothing is packed.
    packed = [found for found in distributions if files[found.name]]
    libraries = {found.name: _library(found, files[found.name]) for found in packed}
    bill = Bom(
        # The same package has the same bill.
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()),
        metadata=BomMetaData(component=function, timestamp=_NO_TIME),
    )
    for found in packed:
        bill.components.add(libraries[found.name])
        requires = (libraries[name] for name in found.requires if name in libraries)
        bill.register_dependency(libraries[found.name], requires)
    scripts = [name for name in sorted(names) if _SCRIPT_OF_THE_PAGE.fullmatch(name)]
    of_the_page = [*_libraries_of_the_page(root / "web" / "package-lock.json", scripts)]
    bill.components.update(of_the_page)
    direct = (libraries[name] for name in _direct(project["dependency-groups"]) if name in libraries)
    bill.register_dependency(function, [*direct, *of_the_page])
    output = package.with_suffix(".cdx.json")
    output.write_text(JsonV1Dot6(bill).output_as_string(indent=1) + "\n", "utf-8")
    return output


def _files(found: Distribution, names: frozenset[str]) -> list[str]:
    # Where there is bytecode, it stands in the place of the source.
    return sorted(file for name in found.files for file in (name, f"{name}c") if file in names)


def _library(found: Distribution, files: list[str]) -> Component:
    return Component(
        name=found.name,
        version=found.version,
        bom_ref=f"pypi:{found.name}",
        purl=PackageURL("pypi", None, found.name, found.version),
        licenses=[LicenseFactory().make_from_string(found.license)] if found.license else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=found.wheel_sha256)],
        evidence=_found_in(found.name, files),
    )


def _found_in(name: str, files: list[str]) -> ComponentEvidence:
    # Without references of their own, the library puts them into another order each time.
    return ComponentEvidence(
        occurrences=[Occurrence(bom_ref=f"{name}:{file}", location=file) for file in files]
    )


def _require_owners(names: frozenset[str], files: Iterable[list[str]]) -> None:
    owned = {name for some in files for name in some}
    for name in sorted(names - owned):
        if name.partition("/")[0] not in OWN and not name.startswith("__pycache__/index."):
            raise PackagingError(f"{name} belongs to no distribution")


def _libraries_of_the_page(lock_file: Path, scripts: list[str]) -> Iterable[Component]:
    packages: dict[str, Any] = json.loads(lock_file.read_text("utf-8"))["packages"]
    for name in sorted(packages[""].get("dependencies", ())):
        locked = packages[f"node_modules/{name}"]
        # https://w3c.github.io/webappsec-subresource-integrity/: base64
        digest = base64.b64decode(locked["integrity"].removeprefix("sha512-")).hex()
        yield Component(
            name=name,
            version=locked["version"],
            bom_ref=f"npm:{name}",
            purl=PackageURL("npm", None, name, locked["version"]),
            licenses=[LicenseFactory().make_from_string(locked["license"])],
            hashes=[HashType(alg=HashAlgorithm.SHA_512, content=digest)],
            evidence=_found_in(name, scripts),
        )


def _direct(groups: dict[str, list[str]]) -> list[str]:
    pins = [pin for group in ("function", "openpgp") for pin in groups.get(group, ())]
    return [name[0] for pin in pins if (name := re.match(r"[a-z0-9-]+", pin))]
