"""TFDV's verdict on the schema, without TensorFlow.

TFDV validates in one native module, on serialised protos. That module is loaded by itself:
importing the package would bring TensorFlow, seconds and 0.9 GB in each worker, for nothing that
is used.
The statistics come from the window's own counts, see `statistics_proto`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import SchemaAnomaly
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.statistics_proto import statistics_proto
from streaming.summary import Partial

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

SERVING = "SERVING"
"""The environment of streamed windows: labels are not expected in it."""
_PACKAGE = "tensorflow_data_validation"
_NATIVE = "tensorflow_data_validation_extension"


@dataclass(frozen=True)
class Statistics:
    """Makes statistics and checks them under one schema.

    Parameters
    ----------
    schema_path:
        TFDV schema in text form; empty for none (then nothing is validated).
    text:
        The schema itself, instead of a file.
    """

    schema_path: str = ""
    text: str = ""

    @cached_property
    def schema(self) -> schema_pb2.Schema | None:
        """The schema, read once per process."""
        if self.text:
            return schema_text.parse(self.text)
        if not self.schema_path:
            return None
        path = Path(self.schema_path)
        return schema_text.parse(schema_text.text_of(path), str(path))

    def warm_up(self) -> None:
        """Load TFDV's validation and read the schema now, before the first record waits for it."""
        if self.schema is not None:
            _native()

    @cached_property
    def _served(self) -> frozenset[str]:
        """Columns that the schema allows in events."""
        features = self.schema.feature if self.schema is not None else ()
        return frozenset(one.name for one in features if SERVING not in one.not_in_environment)

    @cached_property
    def _categories(self) -> frozenset[str]:
        features = self.schema.feature if self.schema is not None else ()
        return frozenset(one.name for one in features if one.int_domain.is_categorical)

    def of(self, counted: Partial) -> statistics_pb2.DatasetFeatureStatisticsList:
        """The statistics proto of a window's counts."""
        return statistics_proto(counted, self._categories)

    def anomalies(
        self,
        statistics: statistics_pb2.DatasetFeatureStatisticsList,
        unknown: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[SchemaAnomaly, ...]:
        """What the schema says about a window.

        Parameters
        ----------
        statistics:
            Of the window's rows.
        unknown:
            Fields seen that are not in the contract, and the kind of their values; they are no
            columns, so TFDV cannot see them. One that the schema knows is no anomaly.
        """
        found = [
            SchemaAnomaly(
                feature=name,
                code="SCHEMA_NEW_COLUMN",
                detail="New column: in the events, but not in the schema.",
                found=kind,
            )
            for name, kind in sorted(unknown.items())
            if name not in self._served
        ]
        if self.schema is not None and statistics.datasets[0].num_examples:
            found += _records(validate(statistics, self.schema, environment=SERVING))
        return tuple(found)


def validate(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    *,
    environment: str,
) -> anomalies_pb2.Anomalies:
    """What ``tfdv.validate_statistics`` answers for one dataset.

    Raises
    ------
    ConfigurationError
        When the schema does not know the environment.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    if environment not in schema.default_environment:
        raise ConfigurationError(
            f"The schema does not know the environment {environment}; add default_environment: "
            f'"{environment}" to it.'
        )
    answer = _native().validation.ValidateFeatureStatistics(
        statistics.datasets[0].SerializeToString(),
        schema.SerializeToString(),
        environment.encode(),
        *(b"", b"", b"", b"", b""),
        False,
    )
    return anomalies_pb2.Anomalies.FromString(answer)


@cache
def _native() -> ModuleType:
    """TFDV's native module, without the package around it."""
    name = f"{_PACKAGE}.pywrap.{_NATIVE}"
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError("TensorFlow Data Validation is not installed; run make setup.")
    file = Path(package.submodule_search_locations[0], "pywrap", f"{_NATIVE}.so")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{file} cannot be loaded; run make doctor.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Under the package's own name: loaded twice, it would free what the other one still uses.
    sys.modules[name] = module
    return module


def _records(verdict: anomalies_pb2.Anomalies) -> list[SchemaAnomaly]:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return [
        SchemaAnomaly(
            feature=name,
            code=anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
            detail=reason.description or reason.short_description,
        )
        for name, info in sorted(verdict.anomaly_info.items())
        for reason in info.reason
    ]
