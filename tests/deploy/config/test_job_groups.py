"""Models of a file fall into stream jobs as `stream.split` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.app.deployment import Deployment
from deploy.app.stream_jobs import stream_job, stream_jobs
from deploy.config import loader
from deploy.config.job_groups import Split, group_models, group_of
from streaming.contracts.errors import ConfigurationError, NotFoundError

TENANTS = st.dictionaries(st.text("abcdef", min_size=1), st.sampled_from(["north", "south"]))


@given(TENANTS, st.sampled_from(["none", "tenant", "model"]))
def test_each_model_is_in_exactly_one_job(tenants: dict[str, str], split: Split) -> None:
    groups = group_models(tenants, split)
    assert sorted(name for models in groups.values() for name in models) == sorted(tenants)
    for model in tenants:
        assert model in groups[group_of(model, groups)]


@given(TENANTS)
def test_tenants_never_meet(tenants: dict[str, str]) -> None:
    for models in group_models(tenants, "tenant").values():
        assert len({tenants[model] for model in models}) == 1


def write(folder: Path, *, topics: tuple[str, str] = ("a.trips", "b.trips"), **more: Any) -> Path:
    text = {
        "models": {
            name: {
                "module": "retrain.models.big_tipper",
                "tenant": tenant,
                "events": {"topic": topic, "key": "trip_id"},
                "labels": {"topic": f"{name}.tips", "key": "trip_id"},
            }
            for name, tenant, topic in zip(("a", "b"), ("north", "south"), topics, strict=True)
        },
        "local": {"served_models": ["a"]},
        **more,
    }
    file = folder / "driftline.yaml"
    file.write_text(yaml.safe_dump(text))
    return file


@pytest.mark.parametrize(
    ("split", "jobs"),
    [
        ("none", {"driftline-all": ("a", "b")}),
        ("tenant", {"driftline-tenant-north": ("a",), "driftline-tenant-south": ("b",)}),
        ("model", {"driftline-a": ("a",), "driftline-b": ("b",)}),
    ],
)
def test_a_deployment_has_a_job_for_each_group(
    tmp_path: Path, split: str, jobs: dict[str, tuple[str, ...]]
) -> None:
    deployment = Deployment.load(
        write(tmp_path, stream={"split": split, "parallelism": 2, "shards": 3})
    )
    models_by_job = {job.settings.name: job.models for job in stream_jobs(deployment)}
    assert models_by_job == jobs
    settings = stream_job(deployment, "b").settings
    assert "b" in {one.contract.model for one in settings.models}
    assert (settings.parallelism, settings.shards) == (2, 3)
    with pytest.raises(NotFoundError, match="no model c"):
        stream_job(deployment, "c")


def test_models_of_one_job_need_topics_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path, topics=("trips", "trips"))
    with pytest.raises(ConfigurationError, match=r"a and b read trips"):
        loader.load(file)
    file = write(tmp_path, topics=("trips", "trips"), stream={"split": "model"})
    assert len(stream_jobs(Deployment.load(file))) == 2


def test_splitting_by_tenant_needs_tenants(tmp_path: Path) -> None:
    file = write(tmp_path, stream={"split": "tenant"})
    file.write_text(file.read_text().replace("tenant: south", "tenant: ''"))
    with pytest.raises(ConfigurationError, match=r"models\.b\.tenant"):
        loader.load(file)


def test_the_embedded_servers_serve_the_models_that_are_named(tmp_path: Path) -> None:
    named = {"served_models": ["b"]}
    assert Deployment.load(write(tmp_path, local={})).served_models == ("a", "b")
    assert Deployment.load(write(tmp_path, local=named)).served_models == ("b",)
    with pytest.raises(ConfigurationError, match="names no model"):
        loader.load(write(tmp_path, local={"served_models": ["c"]}))
