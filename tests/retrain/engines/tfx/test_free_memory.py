"""Memory goes back between nodes: cycles are collected, and what is loaded is left out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from retrain.engines.tfx.free_memory import give_back, keep_what_is_loaded


class Node:
    """Refers to itself, as a traced function and its loop do."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def test_what_only_a_cycle_holds_is_freed() -> None:
    held = weakref.ref(Node())
    assert held() is not None
    give_back()
    assert held() is None


def test_what_is_loaded_is_looked_through_no_more_and_later_objects_are() -> None:
    keep_what_is_loaded()
    frozen = gc.get_freeze_count()
    assert frozen > 1_000
    held = weakref.ref(Node())
    give_back()
    assert held() is None
    assert gc.get_freeze_count() <= frozen
