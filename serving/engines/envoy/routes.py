"""Envoy's routes as data: pure functions from the split of a model to its routes.

Decisions, each based on a measurement:

- REST requests name their model in the path. A gRPC request names it in its message, which Envoy
  does not read, so clients send the metadata `x-driftline-model`. Those that do not are sent to the
  first model, whose clients may have been there before the others came.
- After `retry_after_seconds` the request is also sent to another server, and the first response
  wins (hedging). A hung server delays a client by that time, and a slow healthy server is not cut
  off.
- A change of one model's split makes Envoy build the routes of all models anew: they are few, and
  regular expressions are used only where prefixes cannot tell requests apart.
- Only PredictionService and REST are routed; models cannot be reloaded through the public port.
- Only predictions are split between the arms and counted for them, by path and method. A status or
  metadata request says nothing about a version's answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from serving.engines.envoy.config import (
    LABEL_HEADER,
    MODEL_HEADER,
    SPLIT_HEADER,
    EnvoyLayout,
    Json,
    duration,
    resource_type,
    split_text,
)
from serving.engines.envoy.experiment_routes import added_header, prediction_routes
from serving.engines.envoy.names import ARM_HEADER, Proto, cluster_name
from serving.engines.envoy.refusals import ANSWER_HEADER, refused_answer
from serving.engines.envoy.slice_routes import arm_cluster, only
from serving.ports import TrafficSplit

_PROTOS: tuple[Proto, ...] = ("grpc", "rest")
_GRPC_SERVICE = "/tensorflow.serving.PredictionService/"
_REST_MODELS = "/v1/models/"
_RETRY_ON = (
    "5xx,connect-failure,refused-stream,reset,unavailable,internal,cancelled,resource-exhausted,"
    "retriable-headers"
)


def model_routes(layout: EnvoyLayout, split: TrafficSplit) -> list[Json]:
    """The routes of one model: the only resource that changes during a rollout.

    Parameters
    ----------
    layout:
        The model.
    split:
        Shares of its arms.
    """
    routes = [
        *label_routes(layout),
        *(route for proto in _PROTOS for route in _prediction_routes(layout, split, proto)),
        *(
            {"match": match, "route": _other(layout, proto)}
            for proto in _PROTOS
            for match in _any_request(layout, proto)
        ),
    ]
    header = added_header(SPLIT_HEADER, split_text(split))
    added = "response_headers_to_add"
    return [{**route, added: [header, *route.get(added, ())]} for route in routes]


def _prediction_routes(layout: EnvoyLayout, split: TrafficSplit, proto: Proto) -> list[Json]:
    """Predictions, by slice; by user during an experiment, which is not judged by slice."""
    match = _predictions(layout, proto)
    if split.experiment is not None:
        return prediction_routes(
            split.experiment, proto, model=layout.model, match=match, options=_options(layout)
        )
    return [
        {
            "match": only(match, layout.slices.header, name),
            "route": split_action(layout, split, proto, name),
        }
        for name in (*layout.slices.values, "")
    ]


def route_configuration(routes_of: Mapping[str, Sequence[Json]], retries: Json) -> Json:
    """The routes of all models behind the listener, by model, and an answer for any other one.

    `retries` holds for all of them: repeated on each route it would take most of the file, and the
    time in which Envoy takes it up.
    """
    known = ", ".join(routes_of)
    rest_text = json.dumps({"error": f"There is no such model here; this address serves {known}."})
    grpc_text = f"There is no such model here; name one of {known} in the metadata {MODEL_HEADER}."
    return {
        "@type": resource_type("config.route.v3") + ".RouteConfiguration",
        "name": "serving",
        "virtual_hosts": [
            {
                "name": "serving",
                "domains": ["*"],
                "retry_policy": retries,
                "include_request_attempt_count": True,
                "response_headers_to_remove": [ANSWER_HEADER],
                "routes": [
                    *(route for routes in routes_of.values() for route in routes),
                    _refusal(_GRPC_SERVICE, grpc_text),
                    _refusal(_REST_MODELS, rest_text),
                ],
            }
        ],
    }


def label_routes(layout: EnvoyLayout) -> list[Json]:
    """Requests that name a label are sent to its version, and are counted for no arm.

    ``stable`` and ``canary`` are the servers of these arms; the label is taken out of the path, as
    they have one version each and no labels. Users' labels are known to the server of their own.
    """
    clusters = {"stable": "other", "canary": "labelcanary"}
    clusters |= dict.fromkeys(layout.labels, "labelled")
    routes = []
    for label, cluster in clusters.items():
        for proto in _PROTOS:
            route: Json = {
                "cluster": cluster_name(cluster, proto, layout.model),
                "timeout": duration(layout.timeout_seconds),
            }
            if proto == "rest" and label not in layout.labels:
                route["prefix_rewrite"] = f"{_REST_MODELS}{layout.model}:"
            routes.append({"match": _names_the_label(layout, proto, label), "route": route})
    return routes


def _names_the_label(layout: EnvoyLayout, proto: Proto, label: str) -> Json:
    if proto == "grpc":
        header = {"name": LABEL_HEADER, "string_match": {"exact": label}}
        return {"prefix": _GRPC_SERVICE, "headers": [_names_the_model(layout), header]}
    return {"prefix": f"{_REST_MODELS}{layout.model}/labels/{label}:"}


def _refusal(prefix: str, text: str) -> Json:
    return {
        "match": {"prefix": prefix},
        "direct_response": {"status": 404, "body": {"inline_string": text}},
    }


def _predictions(layout: EnvoyLayout, proto: Proto) -> Json:
    """Matches the requests that the arms are judged by; a query string is no part of the path."""
    post = {"name": ":method", "string_match": {"exact": "POST"}}
    if proto == "grpc":
        pattern = rf"^{re.escape(_GRPC_SERVICE)}(Predict|Classify|Regress|MultiInference)$"
        return {"safe_regex": {"regex": pattern}, "headers": [post, _names_the_model(layout)]}
    model = _REST_MODELS + re.escape(layout.model)
    pattern = rf"^{model}(/(versions|labels)/[^/:]+)?:(predict|classify|regress)$"
    return {"safe_regex": {"regex": pattern}, "headers": [post]}


def _any_request(layout: EnvoyLayout, proto: Proto) -> tuple[Json, ...]:
    """Match every request for the model."""
    if proto == "grpc":
        return ({"prefix": _GRPC_SERVICE, "headers": [_names_the_model(layout)]},)
    path = f"{_REST_MODELS}{layout.model}"
    return ({"path_separated_prefix": path}, {"prefix": f"{path}:"})


def _names_the_model(layout: EnvoyLayout) -> Json:
    if not layout.default:
        return {"name": MODEL_HEADER, "string_match": {"exact": layout.model}}
    return {
        "name": MODEL_HEADER,
        "string_match": {"safe_regex": {"regex": f"({re.escape(layout.model)})?"}},
        "treat_missing_header_as_empty": True,
    }


def _other(layout: EnvoyLayout, proto: Proto) -> Json:
    """Health, status and metadata: answered by the stable server, and counted for no arm."""
    return {
        "cluster": cluster_name("other", proto, layout.model),
        "timeout": duration(layout.timeout_seconds),
    }


def split_action(
    layout: EnvoyLayout, split: TrafficSplit, proto: Proto, slice_name: str = ""
) -> Json:
    """What is done with a prediction of a slice: weighted arms, retries, and copies."""
    shares = (("control", split.control), ("stable", split.stable), ("canary", split.canary))
    weighted: Json = {
        "clusters": [
            {
                "name": cluster_name(arm_cluster(arm, slice_name), proto, layout.model),
                "weight": share,
                "response_headers_to_add": [added_header(ARM_HEADER, arm)],
            }
            for arm, share in shares
        ]
    }
    action: Json = {"weighted_clusters": weighted, **_options(layout)}
    copies = [
        (name, share)
        for name, share in (
            ("mirrorcontrol", split.mirror),
            ("mirrorcanary", split.mirror),
            ("shadow", split.shadow),
        )
        if share
    ]
    if copies:
        action["request_mirror_policies"] = [
            {
                "cluster": cluster_name(name, proto, layout.model),
                "runtime_fraction": {
                    "default_value": {"numerator": share, "denominator": "HUNDRED"}
                },
            }
            for name, share in copies
        ]
    return action


def _options(layout: EnvoyLayout) -> Json:
    """Time limit of a prediction; the second server is asked beside a slow first one."""
    return {
        "timeout": duration(layout.timeout_seconds),
        "hedge_policy": {"hedge_on_per_try_timeout": True},
    }


def retry_policy(layout: EnvoyLayout) -> Json:
    """When a request is sent again, and to which server."""
    return {
        "retry_on": _RETRY_ON,
        "retriable_headers": [refused_answer()],
        "num_retries": 2,
        "per_try_timeout": duration(layout.retry_after_seconds),
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": resource_type("extensions.retry.priority.previous_priorities.v3")
                + ".PreviousPrioritiesConfig",
                "update_frequency": 1,
            },
        },
    }
