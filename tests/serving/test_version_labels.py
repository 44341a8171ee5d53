"""Labels move before anything is unloaded, whatever loads, fails or restarts meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.version_labels import LabelConfig, next_config

VERSIONS = st.integers(1, 4)
TARGETS = st.dictionaries(st.sampled_from(("old", "best", "audit")), VERSIONS)


class Server:
    """Takes configurations as TF Serving does: a label needs a version that is available."""

    def __init__(self) -> None:
        self.config, self.available = LabelConfig(), set[int]()

    def take(self, config: LabelConfig) -> None:
        assert set(config.labels.values()) <= self.available
        self.config = config
        self.available &= set(config.versions)

    def load(self, failing: set[int]) -> None:
        self.available |= set(self.config.versions) - failing


@given(st.lists(st.tuples(TARGETS, st.sets(VERSIONS, max_size=2)), min_size=1, max_size=5))
def test_every_label_keeps_a_version_and_gets_its_own_in_the_end(
    changes: list[tuple[dict[str, int], set[int]]],
) -> None:
    server = Server()
    for target, failing in changes:
        for _ in range(6):
            before = dict(server.config.labels)
            config = next_config(server.config, server.available, target)
            if config is not None:
                server.take(config)
                kept = before.keys() & target.keys() & server.config.labels.keys()
                assert kept == before.keys() & target.keys()  # none is lost on the way
                assert set(server.config.labels.values()) <= server.available
            server.load(failing)
        for label, version in target.items():
            if version not in failing | (set() if version in server.available else {version}):
                assert server.config.labels[label] == version
        assert next_config(server.config, server.available, target) is None
        assert set(server.config.versions) == {*target.values(), *server.config.labels.values()}


def test_after_a_restart_of_the_server_everything_is_loaded_and_bound_again() -> None:
    target = {"old": 1, "best": 3}
    first = next_config(LabelConfig(), set(), target)
    assert first == LabelConfig(versions=(1, 3), labels={})
    second = next_config(first, {1, 3}, target)
    assert second == LabelConfig(versions=(1, 3), labels=target)
    assert next_config(second, {1, 3}, target) is None


def test_without_labels_the_server_is_empty() -> None:
    loaded = LabelConfig(versions=(1,), labels={"old": 1})
    freed = next_config(loaded, {1}, {})
    assert freed is not None
    assert freed.labels == {}
    assert next_config(freed, {1}, {}) == LabelConfig()
