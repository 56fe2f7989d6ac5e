"""A YAML text whose every value knows its line, so that an error can say where."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from remora.errors import RemoraError, choices

Path = tuple[str | int, ...]
T = TypeVar("T", bound=BaseModel)


class Strict(BaseModel):
    """A piece of a file: no key more, no type bent, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


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
        where = ".".join(str(step) for step in path)
        return RemoraError(f"{self.name}:{self.line(path)}: {where + ': ' if where else ''}{words}")

    def plain(self, path: Path = ()) -> Any:
        """The value at `path` as JSON has it."""
        node = self.data
        for step in path:
            node = node[step]
        return json.loads(json.dumps(node, default=str))

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
        place = path + found["loc"]
        match found["type"]:
            case "extra_forbidden":
                return self.fault(place, f"no such setting; {choices(str(place[-1]), settings(model, found['loc'][:-1]))}")
            case "missing":
                return self.fault(place[:-1], f"`{place[-1]}` is missing")
            case kind:
                return self.fault(place, WORDS.get(kind) or found["msg"].removeprefix("Value error, "))


WORDS = {
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


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
        raise RemoraError(f"{name}:{line_of(error)}: not YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise RemoraError(f"{name}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise RemoraError(f"{name}:1: must be a mapping with `environments` and `sidekicks`")
    return Document(name, data)


def line_of(error: MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def key_of(error: DuplicateKeyError) -> str:
    """The doubled key out of ruamel's message, which has no field for it."""
    quoted = str(error.problem).split('"')
    return f"`{quoted[1]}`" if len(quoted) > 1 else "named"
