"""Pure: the trials of a search as a table."""

from __future__ import annotations

from collections.abc import Sequence

from retrain.engines.tfx.trials import Trial


def results_table(trials: Sequence[Trial]) -> str:
    """The trials, best first, one a line; those that failed come last with their reason.

    >>> print(results_table([Trial(id="0", values={"units": 8}, ending="complete", loss=0.5)]))
    trial  loss     epochs  seconds  ended     hyperparameters
    0      0.50000       0      0.0  complete  units=8
    <BLANKLINE>
    """
    lines = [f"{'trial':5}  {'loss':7}  epochs  seconds  {'ended':11}  hyperparameters"]
    ordered = sorted(trials, key=lambda trial: (trial.loss is None, trial.loss or 0.0, trial.id))
    for trial in ordered:
        loss = "-" if trial.loss is None else f"{trial.loss:.5f}"
        values = " ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in sorted(trial.values.items())
        )
        reason = f"  ({trial.reason})" if trial.reason else ""
        lines.append(
            f"{trial.id:5}  {loss:7}  {trial.epochs:6}  {trial.seconds:7.1f}  {trial.ending:11}"
            f"  {values}{reason}"
        )
    return "\n".join(lines) + "\n"
