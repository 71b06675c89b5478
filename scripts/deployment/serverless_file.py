"""`serverless.yml` as a model: what it may say, and on which line it says something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from handler.settings import PREFIX, Settings
from scripts.deployment.errors import FileInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_OWN_REFERENCES = ("app", "name", "stage")
_STEP_MB = 128
_CRON_FIELDS = 7

# Page 583/19805 (CreateFunction); the last character is a letter or digit.
_FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]$")]
_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+(?:-[0-9])?")
_VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{1,63}$")]


class _Part(BaseModel):
    # SCF's tools ignore what they do not know; here a misspelt key is an error.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=False,
        hide_input_in_errors=True,
    )


def _memory(value: int) -> int:
    if value % _STEP_MB and value != _STEP_MB // 2:
        raise ValueError("must be 64, or a multiple of 128")
    return value


def _region(value: str) -> str:
    # The cloud would answer a call to no region of its own with an error that does not say so.
    if not _REGION.fullmatch(value):
        raise ValueError("must be a region, for example ap-guangzhou")
    return value


class Source(_Part):
    """Where the code lies; scripts/deploy builds it and looks at neither."""

    src: str
    exclude: tuple[str, ...] = ()


class Variables(_Part):
    """The environment: name -> text, or `${env:NAME}`."""

    variables: dict[_VariableName, str]

    @field_validator("variables")
    @classmethod
    def _no_reserved_name(cls, variables: dict[str, str]) -> dict[str, str]:
        for name in variables:
            if name.startswith(("SCF_", "QCLOUD_", "TENCENTCLOUD_")):
                raise ValueError(f"{name}: SCF reserves the prefixes SCF_, QCLOUD_ and TENCENTCLOUD_")
        return variables


class Vpc(_Part):
    """The private network that the function joins, for a Redis server in it."""

    vpc_id: str
    subnet_id: str


class NetConfig(_Part):
    """Where the Function URL is reached from. SCF's default for both is false."""

    enable_extranet: bool
    enable_intranet: bool = False


class HttpParameters(_Part):
    """A Function URL."""

    name: str
    qualifier: str = "$DEFAULT"
    # SECURITY BOUNDARY: with CAM, SCF itself refuses callers who cannot sign for CAM. With NONE everybody
    # reaches the function, which authenticates each request. Both are deliberate; the default is neither.
    auth_type: Literal["NONE", "CAM"]
    net_config: NetConfig


def _cron(value: str) -> str:
    if len(value.split()) != _CRON_FIELDS:
        raise ValueError("must have 7 fields: second minute hour day month weekday year")
    return value


class TimerParameters(_Part):
    """A timer trigger."""

    name: str
    qualifier: str = "$DEFAULT"
    cron_expression: Annotated[str, AfterValidator(_cron)]
    enable: bool = True
    argument: str | None = None


class HttpEvent(_Part):
    """The entry `http` of `events`."""

    parameters: HttpParameters


class TimerEvent(_Part):
    """The entry `timer` of `events`."""

    parameters: TimerParameters


class Event(_Part):
    """One entry of `events`."""

    http: HttpEvent | None = None
    timer: TimerEvent | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Event:
        if (self.http is None) == (self.timer is None):
            raise ValueError("write either http or timer")
        return self


class Inputs(_Part):
    """The function, in the words of Tencent's component (document/product/1154/39271)."""

    name: _FunctionName
    src: Source
    type: Literal["event"]
    handler: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{2,60}\.[A-Za-z0-9_-]{2,60}$")]
    runtime: Annotated[str, StringConstraints(pattern=r"^Python3\.[0-9]{1,2}$")]
    region: Annotated[str, AfterValidator(_region)]
    namespace: str = "default"
    description: Annotated[str, StringConstraints(max_length=800, pattern=r"^[A-Za-z0-9 ,.\n]*$")] = ""
    memory_size: Annotated[int, Field(ge=64, le=3072), AfterValidator(_memory)]
    timeout: Annotated[int, Field(ge=1, le=900)]
    init_timeout: Annotated[int, Field(ge=3, le=300)] = 60
    public_access: bool = True
    role: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+=,.@_-]{1,128}$")]
    environment: Variables
    vpc_config: Vpc | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    events: tuple[Event, ...]

    @property
    def http(self) -> HttpParameters:
        """The Function URL; the file has exactly one."""
        return next(event.http.parameters for event in self.events if event.http)

    @property
    def timers(self) -> tuple[TimerParameters, ...]:
        """The timer triggers."""
        return tuple(event.timer.parameters for event in self.events if event.timer)

    @field_validator("events")
    @classmethod
    def _one_url(cls, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if sum(event.http is not None for event in events) != 1:
            raise ValueError("exactly one entry http is needed: the Function URL")
        return events


class AsyncRetry(_Part):
    """What SCF does with an asynchronous event whose run failed."""

    attempts: Annotated[int, Field(ge=0, le=2)] = 2
    max_age_seconds: Annotated[int, Field(ge=60, le=21600)] = 1800


class Logs(_Part):
    """The topic that receives the function's log, audit lines included."""

    logset: str
    topic: str
    retention_days: Annotated[int, Field(ge=1, le=3600)]


class Deployment(_Part):
    """What scripts/deploy sets besides; Tencent's component knows none of it."""

    alias: Literal["$DEFAULT"] = "$DEFAULT"
    reserved_concurrency_mb: Annotated[int, Field(ge=0)] | None = None
    async_retry: AsyncRetry = AsyncRetry()
    logs: Logs | None = None
    keep_versions: Annotated[int, Field(ge=2, le=100)] = 10


def unnamed_settings(path: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the variables of the function that are set and that the file does not name: typing errors."""
    named = {reference.removeprefix("env:") for reference in _REFERENCE.findall(path.read_text("utf-8"))}
    elsewhere = {field.alias for field in Settings.model_fields.values()}  # such as that of scripts/serve
    return sorted(
        name
        for name, value in environment.items()
        if value and name.startswith(PREFIX) and name not in named | elsewhere
    )


class ServerlessFile(_Part):
    """The whole file, its references resolved."""

    app: str
    stage: str
    component: Literal["scf"]
    name: str
    inputs: Inputs
    deployment: Deployment = Deployment()

    @classmethod
    def read(cls, path: Path, environment: Mapping[str, str]) -> ServerlessFile:
        """Read the file; take `${env:NAME}` from `environment`, and leave out a variable that is not there.

        Raises FileInvalid, each of whose lines names the file and a line of it.
        """
        try:
            root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        except OSError as error:
            raise FileInvalid(f"{path}: {error.strerror}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise FileInvalid(f"{path}:{line}: {error.problem}") from error
        if not isinstance(root, yaml.MappingNode):
            raise FileInvalid(f"{path}:1: not a mapping")
        lines = dict(_lines(root, ()))
        data = _constructed(root, path)
        own = {key: str(data.get(key, "")) for key in _OWN_REFERENCES}
        try:
            return cls.model_validate(_resolved(data, own, environment))
        except ValidationError as error:
            problems = [
                f"{path}:{_line(lines, problem['loc'])}: {_where(problem['loc'])}: {problem['msg']}"
                for problem in error.errors()
            ]
            raise FileInvalid("\n".join(problems)) from None


_Location = tuple[int | str, ...]


def _constructed(root: yaml.MappingNode, path: Path) -> dict[str, object]:
    loader = yaml.SafeLoader("")
    try:
        data: dict[str, object] = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise FileInvalid(f"{path}:{line}: {error.problem}") from error
    finally:
        loader.dispose()
    return data


def _lines(node: yaml.Node, at: _Location) -> Iterator[tuple[_Location, int]]:
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*at, key.value))
            yield (*at, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            yield from _lines(value, (*at, position))


def _line(lines: Mapping[_Location, int], location: _Location) -> int:
    """Return the line of the key, or, for a missing one, that of what should hold it."""
    while location not in lines:
        location = location[:-1]
    return lines[location]


def _where(location: _Location) -> str:
    return ".".join(str(part) for part in location if part != "[key]") or "the file"


def _resolved(value: object, own: Mapping[str, str], environment: Mapping[str, str]) -> object:
    if isinstance(value, dict):
        resolved = {key: _resolved(item, own, environment) for key, item in value.items()}
        # As in Tencent's tools: a key whose value is one reference to an unset variable is dropped.
        return {key: item for key, item in resolved.items() if item is not _UNSET}
    if isinstance(value, list):
        return [_resolved(item, own, environment) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and whole[1].startswith("env:"):
        return environment.get(whole[1].removeprefix("env:")) or _UNSET
    return _REFERENCE.sub(lambda found: own.get(found[1], found[0]), value)


_UNSET = object()
