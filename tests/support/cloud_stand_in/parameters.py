"""Parameters of a call against the official SDK's own models: unknown names and wrong types are refused."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

from scripts.cvm_emulator.errors import ApiError

MODULES = {
    "cam": "tencentcloud.cam.v20190116",
    "cls": "tencentcloud.cls.v20201016",
    "scf": "tencentcloud.scf.v20180416",
    "tag": "tencentcloud.tag.v20180813",
}
_SCALARS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "float": (float, int),
    "int": (int,),
    "int non-negative": (int,),
    "str": (str,),
}
_RTYPE = re.compile(r":rtype: (?P<many>list of )?(?:(?::class:`)?(?P<type>[^`\n]+?)`?)\s*$", re.MULTILINE)


def check(service: str, action: str, parameters: dict[str, Any]) -> None:
    """Raise ApiError if the SDK knows no such action, or a parameter is not as its model says."""
    models = importlib.import_module(f"{MODULES[service]}.models")
    model = getattr(models, f"{action}Request", None)
    if model is None:
        raise ApiError("InvalidAction", f"{service} has no action {action}.")
    _check_object(models, model, parameters, action)


def error(service: str, code: str, message: str) -> ApiError:
    """Return an error of the service; its code has to be one that the SDK lists for it."""
    known = f"{code}" in _codes(service)
    assert known or code in {"UnauthorizedOperation", "InvalidAction", "MissingParameter"}, (service, code)
    return ApiError(code, message)


@cache
def _codes(service: str) -> frozenset[str]:
    module = importlib.import_module(f"{MODULES[service]}.errorcodes")
    return frozenset(value for name, value in vars(module).items() if name.isupper())


@cache
def _fields(model: type) -> dict[str, tuple[str, bool]]:
    """Return the fields of a model: name -> type's name, and whether it is a list of them."""
    fields = {}
    for name, member in vars(model).items():
        if isinstance(member, property) and member.__doc__:
            found = _RTYPE.search(member.__doc__)
            assert found is not None, (model, name)
            fields[name] = (found["type"].strip(), bool(found["many"]))
    return fields


def _check_object(models: Any, model: type, value: Any, where: str) -> None:  # noqa: ANN401  # a module, and JSON
    if not isinstance(value, dict):
        raise ApiError("InvalidParameter", f"{where} is not an object.")
    fields = _fields(model)
    for name, item in value.items():
        if name not in fields:
            raise ApiError("UnknownParameter", f"{where}.{name} is not a parameter.")
        kind, many = fields[name]
        if many and not isinstance(item, list):
            raise ApiError("InvalidParameter", f"{where}.{name} is not a list.")
        for one in item if many else [item]:
            _check_value(models, kind, one, f"{where}.{name}")


def _check_value(models: Any, kind: str, value: Any, where: str) -> None:  # noqa: ANN401  # as above
    if kind in _SCALARS:
        if not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise ApiError("InvalidParameter", f"{where} is not of the type {kind}.")
    else:
        _check_object(models, getattr(models, kind.rpartition(".")[2]), value, where)
