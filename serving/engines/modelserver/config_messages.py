"""Messages of TF Serving's configuration files that the wheel of its API does not contain.

Their fields and numbers are those of ``config/monitoring_config.proto`` and of
``servables/tensorflow/session_bundle_config.proto`` at version 2.19.1.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_PACKAGE = "driftline.serving_config"
_Field = descriptor_pb2.FieldDescriptorProto
_WRAPPERS = ".google.protobuf."


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="driftline/serving_config.proto", package=_PACKAGE, syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    prometheus = file.message_type.add(name="PrometheusConfig")
    _add(prometheus, "enable", 1, _Field.TYPE_BOOL)
    _add(prometheus, "path", 2, _Field.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    _add_message(monitoring, "prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig")
    batching = file.message_type.add(name="BatchingParameters")
    for name, number in (
        ("max_batch_size", 1),
        ("batch_timeout_micros", 2),
        ("max_enqueued_batches", 3),
        ("num_batch_threads", 4),
        ("max_execution_batch_size", 9),
    ):
        _add_message(batching, name, number, f"{_WRAPPERS}Int64Value")
    _add_message(batching, "thread_pool_name", 5, f"{_WRAPPERS}StringValue")
    _add_message(batching, "enable_large_batch_splitting", 8, f"{_WRAPPERS}BoolValue")
    sizes = _add(batching, "allowed_batch_sizes", 6, _Field.TYPE_INT64)
    sizes.label = _Field.LABEL_REPEATED
    _add(batching, "pad_variable_length_inputs", 7, _Field.TYPE_BOOL)
    return file


def _add(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: Any) -> _Field:
    return message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)


def _add_message(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, type_name: str
) -> None:
    _add(message, name, number, _Field.TYPE_MESSAGE).type_name = type_name


_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
_pool.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


MonitoringConfig: Any = _message("MonitoringConfig")
BatchingParameters: Any = _message("BatchingParameters")
