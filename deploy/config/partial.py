"""Settings from a tree with mistakes: every valid key is kept, every wrong one left out.

Pydantic stops before rules across fields as soon as one field is wrong; this lets those rules run
all the same, on what is valid.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from deploy.config.types import Section

S = TypeVar("S", bound=Section)


def partial(section: type[S], tree: Any) -> S:
    """An instance whose wrong keys have their defaults; wrong keys without one are absent.

    Reading an absent key raises `AttributeError`.
    """
    values: dict[str, Any] = {}
    raw = tree if isinstance(tree, dict) else {}
    for name, field in section.model_fields.items():
        if name in raw:
            try:
                values[name] = _value(field, raw[name])
                continue
            except ValidationError:
                pass
        if not field.is_required():
            values[name] = field.get_default(call_default_factory=True)
        elif name == "models":
            values[name] = {}
    return section.model_construct(**values)


def _value(field: FieldInfo, raw: Any) -> Any:
    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, Section):
        return partial(kind, raw)
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        parts = raw.items() if isinstance(raw, dict) else ()
        return {name: partial(inner, part) for name, part in parts}
    nested = [
        part for part in get_args(kind) if isinstance(part, type) and issubclass(part, Section)
    ]
    if nested and raw is not None:
        return partial(nested[0], raw)
    annotated: Any = Annotated[kind, *field.metadata] if field.metadata else kind
    adapter: TypeAdapter[Any] = TypeAdapter(annotated)
    return adapter.validate_python(raw)
