"""`remora kinds`: the catalogue, from the code."""

from __future__ import annotations

from typing import Any

from remora.cli import DONE
from remora.core.kind import Failed, Kind
from remora.errors import RemoraError, choices
from remora.output import Output
from remora.plugins import CATALOGUE

HEADS = ("setting", "type", "default", "what it means")


def run(name: str | None, as_json: bool) -> int:
    out = Output()
    if name is not None:
        found = kind(name)
        described = rows(found.Settings.model_json_schema())
        if as_json:
            out.json([dict(zip(HEADS, row, strict=True)) for row in described])
            return DONE
        out.title(f"{name}: {found.SUMMARY}")
        out.table(HEADS, described)
        return DONE
    sound, faults = CATALOGUE.sound()
    if as_json:
        out.json({key: each.SUMMARY for key, each in sound.items()})
    else:
        out.table(["kind", "what it does", "from"], [[key, each.SUMMARY, CATALOGUE.origin(key)] for key, each in sound.items()])
    for fault in faults:
        out.warn(f"! {fault}")
    return DONE


def kind(name: str) -> Kind:
    """The kind of that name, whose settings can be described. Raises RemoraError."""
    try:
        found = CATALOGUE[name]
        CATALOGUE.described(found)
    except KeyError:
        raise RemoraError(f"no kind `{name}`; {choices(name, CATALOGUE)}") from None
    except Failed as error:
        raise RemoraError(str(error)) from None
    return found


def rows(schema: dict[str, Any]) -> list[list[str]]:
    """Every setting of a model, those of the mappings in it as `outer.inner`."""
    return list(deep(schema, schema, ""))


def deep(model: dict[str, Any], schema: dict[str, Any], prefix: str) -> list[list[str]]:
    found = []
    for key, field in model.get("properties", {}).items():
        inner = resolved(field, schema)
        needed = key in model.get("required", ())
        found.append([prefix + key, kind_of(field, inner), "(required)" if needed else default(field), field.get("description", "")])
        if inner:
            found += deep(inner, schema, f"{prefix}{key}.{'NAME.' if 'additionalProperties' in field else ''}")
    return found


def resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The model that a field holds, or that each value of its mapping is; {} where there is none."""
    places = (field, *field.get("allOf", ()), *field.get("anyOf", ()), field.get("additionalProperties") or {})
    refs = [each["$ref"] for each in places if "$ref" in each]
    return schema["$defs"][refs[0].rsplit("/", 1)[1]] if refs else {}


def kind_of(field: dict[str, Any], inner: dict[str, Any]) -> str:
    if inner:
        return "mapping"
    if "const" in field or "enum" in field:
        return "text"
    names = [str(each.get("type", "")) for each in field.get("anyOf", (field,))]
    words = {"string": "text", "array": "list", "object": "mapping", "integer": "whole number", "boolean": "true or false"}
    return " or ".join(dict.fromkeys(words.get(name, name) for name in names if name and name != "null"))


def default(field: dict[str, Any]) -> str:
    value = field.get("default")
    return (
        ""
        if value in (None, [], {}) or isinstance(value, dict)
        else ", ".join(value)
        if isinstance(value, list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
