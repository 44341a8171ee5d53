"""Which models share a stream job: what `stream.split` says, as a value.

>>> group_models({"a": "", "b": ""}, "none")
{'all': ('a', 'b')}
>>> group_models({"a": "north", "b": "south", "c": "north"}, "tenant")
{'tenant-north': ('a', 'c'), 'tenant-south': ('b',)}
>>> group_models({"a": "", "b": ""}, "model")
{'a': ('a',), 'b': ('b',)}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Split = Literal["none", "tenant", "model"]


def group_models(tenants: Mapping[str, str], split: Split) -> dict[str, tuple[str, ...]]:
    """Job -> its models, in the order of the file.

    Parameters
    ----------
    tenants:
        Model -> whom it belongs to.
    split:
        none: one job for all. tenant: one per tenant, so that one tenant's flood of events, or a
        restart for one tenant's new model, is nothing to the others. model: one per model.
    """
    groups: dict[str, tuple[str, ...]] = {}
    for model, tenant in tenants.items():
        name = {"none": "all", "tenant": f"tenant-{tenant}", "model": model}[split]
        groups[name] = (*groups.get(name, ()), model)
    return groups


def group_of(model: str, groups: Mapping[str, tuple[str, ...]]) -> str:
    """The job that serves `model`.

    >>> group_of("b", {"all": ("a", "b")})
    'all'
    """
    return next(name for name, models in groups.items() if model in models)
