"""TFDV's schema validation, without TensorFlow.

TFDV validates serialised protos in one native module. That module is loaded by itself: importing
the package would import TensorFlow, which takes seconds and 0.9 GB in each worker and is not
needed.
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
from typing import TYPE_CHECKING, Any

import msgspec

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import SchemaAnomaly
from streaming.contracts.tolerance import PRESENCE
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.statistics_proto import statistics_proto
from streaming.engines.tfdv.violations import count_rows
from streaming.summary import Partial

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

SERVING = "SERVING"
"""The environment of streamed windows, in which labels are not expected."""
_PACKAGE = "tensorflow_data_validation"
_NATIVE = "tensorflow_data_validation_extension"


@dataclass(frozen=True)
class Statistics:
    """Computes statistics protos and validates them against one schema.

    Parameters
    ----------
    schema_path:
        Path of a TFDV schema in text form; empty for none. Without a schema nothing is validated.
    text:
        The schema's text, instead of a file.
    """

    schema_path: str = ""
    text: str = ""

    @cached_property
    def schema(self) -> schema_pb2.Schema | None:
        """The schema, parsed once per process."""
        if self.text:
            return schema_text.parse(self.text)
        if not self.schema_path:
            return None
        path = Path(self.schema_path)
        return schema_text.parse(schema_text.read_text(path), str(path))

    def warm_up(self) -> None:
        """Load TFDV's module and parse the schema now, so that the first record does not wait."""
        if self.schema is not None:
            _native()

    @cached_property
    def _served(self) -> frozenset[str]:
        """Columns that the schema allows in events."""
        features = self.schema.feature if self.schema is not None else ()
        return frozenset(f.name for f in features if SERVING not in f.not_in_environment)

    @cached_property
    def _features(self) -> dict[str, Any]:
        features = self.schema.feature if self.schema is not None else ()
        return {feature.name: feature for feature in features}

    @cached_property
    def _categories(self) -> frozenset[str]:
        features = self.schema.feature if self.schema is not None else ()
        return frozenset(f.name for f in features if f.int_domain.is_categorical)

    def of(self, counted: Partial) -> statistics_pb2.DatasetFeatureStatisticsList:
        """The statistics proto of a window's counts."""
        return statistics_proto(counted, self._categories)

    def anomalies(
        self,
        statistics: statistics_pb2.DatasetFeatureStatisticsList,
        unknown: Mapping[str, str] = MappingProxyType({}),
        counted: Partial | None = None,
    ) -> tuple[SchemaAnomaly, ...]:
        """The anomalies of a window under the schema.

        Parameters
        ----------
        statistics:
            Statistics of the window's rows.
        unknown:
            Fields of the events that are not in the contract -> kind of their values. They are not
            columns, so TFDV does not see them. A field that is in the schema is not an anomaly.
        counted:
            The counts that `statistics` were written from, to count the rows of each anomaly.
        """
        anomalies = [
            SchemaAnomaly(
                feature=name,
                code="SCHEMA_NEW_COLUMN",
                detail="New column: in the events, but not in the schema.",
                value_kind=kind,
            )
            for name, kind in sorted(unknown.items())
            if name not in self._served
        ]
        if self.schema is not None and statistics.datasets[0].num_examples:
            proto = validate(statistics, self.schema, environment=SERVING)
            anomalies += [self._with_rows(anomaly, counted) for anomaly in _records(proto)]
        return tuple(anomalies)

    def _with_rows(self, anomaly: SchemaAnomaly, counted: Partial | None) -> SchemaAnomaly:
        """The anomaly with the number of its rows, where the counts have it."""
        feature = self._features.get(anomaly.feature)
        if feature is None or counted is None:
            return anomaly
        is_presence = anomaly.code in PRESENCE
        return msgspec.structs.replace(
            anomaly,
            rows=count_rows(anomaly.code, feature, counted),
            allowed=round(1.0 - feature.presence.min_fraction, 9) if is_presence else 0.0,
        )


def validate(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    *,
    environment: str,
) -> anomalies_pb2.Anomalies:
    """The result of ``tfdv.validate_statistics`` for one dataset.

    Raises
    ------
    ConfigurationError
        When the schema does not have the environment.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    if environment not in schema.default_environment:
        raise ConfigurationError(
            f"The schema does not have the environment {environment}; add default_environment: "
            f'"{environment}" to it.'
        )
    serialised = _native().validation.ValidateFeatureStatistics(
        statistics.datasets[0].SerializeToString(),
        schema.SerializeToString(),
        environment.encode(),
        *(b"", b"", b"", b"", b""),
        False,
    )
    return anomalies_pb2.Anomalies.FromString(serialised)


@cache
def _native() -> ModuleType:
    """TFDV's native module, without its package."""
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
    # Under the package's own name: a module that is loaded twice frees memory that the other copy
    # still uses.
    sys.modules[name] = module
    return module


def _records(anomalies: anomalies_pb2.Anomalies) -> list[SchemaAnomaly]:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    return [
        SchemaAnomaly(
            feature=name,
            code=anomalies_pb2.AnomalyInfo.Type.Name(reason.type),
            detail=reason.description or reason.short_description,
        )
        for name, info in sorted(anomalies.anomaly_info.items())
        for reason in info.reason
    ]
