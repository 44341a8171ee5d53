"""Types of setting values: each parses the file's unit, writes it back, and describes itself.

The JSON Schema of each type accepts exactly what the parser accepts, so that an editor and
`driftline config check` agree.
"""

from __future__ import annotations

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from deploy.config import units
from retrain.schedule import CRON

Duration = Annotated[
    float,
    BeforeValidator(units.parse_duration),
    Field(ge=0),
    PlainSerializer(units.format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{units.DURATION}$"}, {"const": 0}]}),
]
"""Seconds, written with a unit: ``200ms``, ``30s``, ``5m``, ``2h``, ``1d``."""

PositiveDuration = Annotated[
    float,
    BeforeValidator(units.parse_duration),
    Field(gt=0),
    PlainSerializer(units.format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{units.DURATION}$"}),
]
"""A `Duration` above zero."""

Schedule = Annotated[
    float | str,
    BeforeValidator(units.parse_schedule),
    PlainSerializer(units.format_schedule, return_type=str, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^{p}$"} for p in (units.DURATION, CRON)]}
    ),
]
"""A period (``7d``), or a cron expression (``0 3 * * 1``)."""

Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    Field(gt=0),
    PlainSerializer(units.format_size, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{units.SIZE}$"}),
]
"""Bytes, written with a unit: ``800MB``, ``4GiB``."""

Rate = Annotated[
    units.Rate,
    BeforeValidator(units.parse_rate),
    PlainSerializer(units.format_rate, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{units.RATE}$"}),
]
"""Events per period: ``1 per 30d``."""

RunsRule = Annotated[
    units.RunsRule,
    BeforeValidator(units.parse_runs_rule),
    PlainSerializer(units.format_runs_rule, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{units.RUNS_RULE}$"}),
]
"""At least k of the last m windows: ``3 of 5``."""


def _ratio_schema(pattern: str) -> WithJsonSchema:
    """A ratio as text with its unit, or as a bare number from 0 to 1."""
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{pattern}$"},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    )


Points = Annotated[
    float,
    BeforeValidator(units.parse_points),
    Field(ge=0, le=1),
    PlainSerializer(units.format_points, return_type=str, when_used="json"),
    _ratio_schema(units.POINTS),
]
"""A ratio, written in percentage points: ``+0.5pp``."""


def _known_zone(name: str) -> str:
    if name != "UTC" and name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone; write for example Europe/Berlin or UTC.")
    return name


Zone = Annotated[str, AfterValidator(_known_zone)]
"""A time zone of the IANA database: ``Europe/Berlin``."""


def _strip_each(addresses: str) -> str:
    return ",".join(address.strip() for address in addresses.split(","))


Addresses = Annotated[str, AfterValidator(_strip_each)]
"""An address, or several separated by commas, without white space around them."""

Percent = Annotated[
    float,
    BeforeValidator(units.parse_percent),
    Field(ge=0, le=1),
    PlainSerializer(units.format_percent, return_type=str, when_used="json"),
    _ratio_schema(units.PERCENT),
]
"""A share, written in percent: ``0.1%``."""


Problem = tuple[tuple[str, ...], str]
"""A mistake in the file: the path of the key, and a sentence that describes it."""


class Section(BaseModel):
    """A part of the file. Unknown keys are refused; docstrings are the keys' descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
