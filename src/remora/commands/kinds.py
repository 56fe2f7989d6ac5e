"""`remora kinds`: the catalogue, from the code."""

from __future__ import annotations

from typing import Any

from remora.cli import DONE
from remora.errors import RemoraError, choices
from remora.output import Output
from remora.sidekicks import KINDS

HEADS = ("setting", "type", "default", "what it means")


def run(name: str | None, as_json: bool) -> int:
    out = Output()
    if name is not None and name not in KINDS:
        raise RemoraError(f"no kind `{name}`; {choices(name, KINDS)}")
    if as_json:
        out.json([dict(zip(HEADS, row, strict=True)) for row in settings(name)] if name else catalogue())
    elif name is None:
        out.table(["kind", "what it does"], [[key, words] for key, words in catalogue().items()])
    else:
        out.title(f"{name}: {KINDS[name].SUMMARY}")
        out.table(HEADS, settings(name))
    return DONE


def catalogue() -> dict[str, str]:
    return {key: kind.SUMMARY for key, kind in sorted(KINDS.items())}


def settings(name: str) -> list[list[str]]:
    return rows(KINDS[name].Settings.model_json_schema())


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
