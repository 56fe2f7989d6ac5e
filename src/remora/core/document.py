"""A YAML text whose every value knows its line, so that an error can say where."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from remora.errors import RemoraError, choices

Path = tuple[str | int, ...]
T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """A piece of a file: no key more, no type bent, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)


class Wrong(ValueError):
    """What is wrong with a value, or with the piece of it that `below` leads to."""

    def __init__(self, words: str, *below: str | int) -> None:
        super().__init__(words)
        self.below = below


@dataclass(frozen=True)
class Fits:
    """An annotation: text that fits `pattern` as a whole; `words` says what it must be otherwise."""

    pattern: str
    words: str

    def check(self, value: object) -> object:
        if isinstance(value, str) and re.fullmatch(self.pattern, value, re.ASCII):
            return value
        raise Wrong(self.words)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), "pattern": f"^({self.pattern})$"}


@dataclass(frozen=True)
class Short:
    """An annotation: short forms of a value, for JSON Schema, and the function that makes the whole form of them."""

    expand: Callable[[object], object]
    forms: tuple[dict[str, Any], ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [*self.forms, handler(core)]}


class Bare:
    """An annotation of a tuple: one thing written bare is a list of one."""

    def expand(self, value: object) -> object:
        return tuple(value) if isinstance(value, (list, tuple)) else (value,)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(core)
        return {"anyOf": [*several["items"].get("anyOf", [several["items"]]), several]}


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its plain values, and where each of them stands."""

    name: str
    data: Any

    def line(self, path: Sequence[str | int]) -> int:
        """The line, from 1, of the value at `path`; of the nearest thing above it where it is not written out."""
        node, line = self.data, 1
        for step in path:
            positions = getattr(getattr(node, "lc", None), "data", None) or {}
            if step in positions:
                line = positions[step][0] + 1
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                break
        return line

    def fault(self, path: Path, words: str) -> RemoraError:
        """`FILE:LINE: PATH: WORDS`."""
        path = self.written(path)
        where = ".".join(str(step) for step in path)
        return RemoraError(f"{self.name}:{self.line(path)}: {where + ': ' if where else ''}{words}")

    def written(self, path: Path) -> Path:
        """`path` as it stands in the file: without the steps that a short form leaves out."""
        node, steps = self.data, []
        for step in path:
            match node:
                case dict() if isinstance(step, str) or step in node:
                    node = node.get(step)
                case list() if isinstance(step, int):
                    node = node[step]
                case _:
                    continue
            steps.append(step)
        return tuple(steps)

    def plain(self, path: Path = ()) -> Any:
        """The value at `path` as JSON has it."""
        node = self.data
        for step in path:
            node = node[step]
        return json.loads(json.dumps(node, default=str))

    def at(self, path: Path) -> Any:
        """The value at `path` as it is written, None where nothing is."""
        node = self.data
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def decode(self, model: type[T], path: Path = ()) -> T:
        """The value at `path` as a `model`; raises RemoraError for the first thing that does not fit."""
        node = self.plain(path)
        try:
            return model.model_validate_json(json.dumps(node))
        except ValidationError as error:
            raise self.misfit(model, path, error) from None

    def misfit(self, model: type[BaseModel], path: Path, error: ValidationError) -> RemoraError:
        """The most telling of pydantic's findings, in our words; the value itself is not repeated, it may be a secret."""
        found = max(error.errors(include_url=False), key=lambda each: len(each["loc"]))
        place = path + tuple(step for step in found["loc"] if step != "[key]")
        about = found.get("ctx", {})
        match found["type"]:
            case "extra_forbidden":
                return self.fault(place, f"no such setting; {choices(str(place[-1]), settings(model, found['loc'][:-1]))}")
            case "missing":
                return self.fault(place[:-1], f"`{place[-1]}` is missing")
            case "value_error":
                return self.fault(place + getattr(about["error"], "below", ()), str(about["error"]))
            case "string_type":
                return self.fault(place, no_text(found["input"]))
            case "literal_error":
                return self.fault(place, f"must be {about['expected']}".replace("'", "`"))
            case kind:
                return self.fault(place, WORDS[kind].format(**about) if kind in WORDS else found["msg"])


WORDS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


def no_text(value: object) -> str:
    """What to say of a value that is not text."""
    match value:
        case None:
            return 'must be text, and nothing stands here; write "" for empty text'
        case dict() | list():
            return f"must be text, not a {'list' if isinstance(value, list) else 'mapping'}"
    return "must be text; put it in quotes"


def settings(model: type[BaseModel], place: Path) -> list[str]:
    """The keys that may stand at `place` inside `model`."""
    for step in place:
        model = next((inner(f.annotation) for name, f in model.model_fields.items() if step in (name, f.alias)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def inner(annotation: Any) -> type[BaseModel]:
    """The model that an annotation such as `dict[str, Model]` holds."""
    while not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        annotation = next(arm for arm in annotation.__args__[::-1] if arm not in (type(None), ...))
    return annotation


def parse(text: str, name: str) -> Document:
    """The document in `text`; `name` is what errors call the file. Raises RemoraError with the line."""
    try:
        data = YAML(typ="rt", pure=True).load(text)
    except DuplicateKeyError as error:
        raise RemoraError(f"{name}:{line_of(error)}: the key {key_of(error)} stands here twice; keep one") from None
    except MarkedYAMLError as error:
        words = f"{error.context}, {error.problem}" if str(error.problem).startswith("but ") else error.problem or error.context
        raise RemoraError(f"{name}:{line_of(error)}: not YAML: {words}") from None
    except YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise RemoraError(f"{name}:{line}: not YAML: {str(error).splitlines()[0]}") from None
    for line in odd_keys(data):
        raise RemoraError(f"{name}:{line}: a key is a list or a mapping; text that begins with a brace needs quotes")
    if not isinstance(data, dict):
        raise RemoraError(f"{name}:1: must be a mapping with `environments` and `sidekicks`")
    return Document(name, data)


def odd_keys(node: Any) -> Iterator[int]:
    """The lines of keys that JSON cannot have, such as those of a template's `{{ name }}`."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(key, (tuple, Mapping)):
            yield node.lc.data[key][0] + 1
        yield from odd_keys(value)


def line_of(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def key_of(error: DuplicateKeyError) -> str:
    """The doubled key out of ruamel's message, which has no field for it."""
    quoted = str(error.problem).split('"')
    return f"`{quoted[1]}`" if len(quoted) > 1 else "named"
