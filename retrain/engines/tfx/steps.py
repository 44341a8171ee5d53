"""The steps of a pipeline: names and factories, and the components that one build makes of them.

TFX keeps a registry of the components of a process, so a component belongs to one pipeline. A
pipeline that is built twice therefore keeps factories, and each build makes components of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from retrain.engines.tfx.beam_options import beam_options
from streaming.contracts.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a pipeline."""

    name: str
    """By this name other steps refer to it."""
    make: StepFactory
    beam: tuple[str, ...] = ()
    """Beam's options of this component alone; empty = those of the pipeline."""


class Steps:
    """The components of one build, in order, as far as they have been made.

    `remote` says whether they run in containers, so that files are named by URIs and none of this
    machine can be looked at.
    """

    def __init__(self, *, remote: bool = False) -> None:
        self.remote = remote
        self._components: dict[str, Any] = {}

    def make(self, step: Step) -> None:
        """Make the component of a step behind those that were made before."""
        component = step.make(self)
        if step.beam:
            if not hasattr(component, "with_beam_pipeline_args"):
                raise ConfigurationError(
                    f"The step '{step.name}' has Beam options, but {component.id} does not use"
                    " Beam. Leave them out, or take TFX's component (engine tfx)."
                )
            component = component.with_beam_pipeline_args(list(beam_options(step.beam)))
        self._components[step.name] = component

    def component(self, name: str) -> Any:
        """The component of a step; `ConfigurationError` when the step is not before this one."""
        if name not in self._components:
            raise ConfigurationError(
                f"The pipeline needs the step '{name}' first; it has"
                f" {', '.join(self._components) or 'none'}."
            )
        return self._components[name]

    def output(self, name: str, key: str) -> Any:
        """The output channel `key` of a step."""
        outputs = self.component(name).outputs
        if key not in outputs:
            raise ConfigurationError(
                f"The step '{name}' has no output '{key}'; it has {', '.join(outputs) or 'none'}."
            )
        return outputs[key]

    def imported(self, name: str, key: str) -> Any:
        """The output of a step that is either a component with the output `key`, or an Importer."""
        outputs = self.component(name).outputs
        return outputs["result"] if "result" in outputs else self.output(name, key)

    def behind(self, name: str, component: Any) -> Any:
        """`component`, made to wait for the step `name` where there is one."""
        if name in self:
            component.add_upstream_node(self.component(name))
        return component

    def __contains__(self, name: str) -> bool:
        return name in self._components

    def __iter__(self) -> Iterator[Any]:
        return iter(self._components.values())

    def items(self) -> Iterable[tuple[str, Any]]:
        """Name and component of each step, in order."""
        return self._components.items()


StepFactory = Callable[[Steps], Any]
"""Makes the component of a step from the components of the steps before it."""
