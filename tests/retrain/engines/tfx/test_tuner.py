"""A search over real processes: champion first, budget kept, killed and taken up again."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from retrain.engines.tfx.training_config import TunerOptions
from streaming.contracts.errors import ConfigurationError, GateFailedError
from tests.retrain.engines.tfx import net_jobs

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

BUILD = "tests.retrain.engines.small_models.orders.model.build_model"
CHAMPION = {"units": 12, "learning_rate": 0.02, "dropout": 0.1, "epochs": 1, "batch": 32}


def tuner(folder: Path, **options: Any) -> Any:
    from retrain.engines.tfx.search_space import search_space_of
    from retrain.engines.tfx.trials import ROWS, slots
    from retrain.engines.tfx.tuner import PoolTuner

    folder.mkdir(exist_ok=True)
    if not (folder / ROWS).exists():
        net_jobs.rows(3_000).save(folder / ROWS)
    given = TunerOptions(**{"trials": 4, "seconds": 300.0, **options})
    return PoolTuner(net_jobs.job(), search_space_of(BUILD), CHAMPION, given, folder, slots(2, []))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are trained in a thread of this process: to start others costs seconds."""
    from retrain.engines.tfx import trials, tuner

    def one_thread(folder: Path, leases: Any) -> Any:
        rows = net_jobs.rows(3_000)
        monkeypatch.setattr(trials, "_STATE", {"rows": rows, "folder": folder})
        return ThreadPoolExecutor(1)

    monkeypatch.setattr(tuner, "pool", one_thread)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Any:
    search = tuner(tmp_path_factory.mktemp("search"))
    search.search()
    return search


def test_the_first_trial_has_the_champions_values(searched: Any) -> None:
    first = next(trial for trial in searched.trials if trial.id == "0")
    assert first.values == {"units": 12, "learning_rate": 0.02, "dropout": 0.1}


def test_the_trials_differ_and_the_best_is_given_on(searched: Any) -> None:
    assert len(searched.trials) == 4
    assert len({msgspec.json.encode(trial.values) for trial in searched.trials}) == 4
    best = min(searched.trials, key=lambda trial: trial.loss)
    config = searched.get_best_hyperparameters()[0].get_config()
    assert config["values"] == best.values
    assert searched.oracle.get_best_trials(4)[0].score == pytest.approx(best.loss)
    assert all(trial.epochs > 1 for trial in searched.trials), "the champion's epochs are not kept"


def test_the_results_are_shown(searched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    searched.results_summary()
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 5
    assert "units=" in shown[1]


@pytest.mark.usefixtures("in_process")
def test_a_search_goes_on_with_the_trials_it_has(searched: Any) -> None:
    folder = searched._folder
    again = tuner(folder, trials=5)
    assert [trial.id for trial in again.trials] == [trial.id for trial in searched.trials]
    again.search()
    assert len(again.trials) == 5
    assert again.trials[:4] == searched.trials


@pytest.mark.usefixtures("in_process")
def test_time_ends_a_search_and_the_first_trial_always_runs(tmp_path: Path) -> None:
    search = tuner(tmp_path / "s", seconds=0.0)
    search.search()
    (only,) = search.trials
    assert (only.ending, only.epochs) == ("out of time", 1)


def test_a_process_that_dies_fails_its_trials_and_the_search_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retrain.engines.tfx import tuner as module
    from retrain.engines.tfx.trials import pool

    def doomed_pool(*given: Any) -> Any:
        """A pool whose processes are killed once they have begun."""
        processes = pool(*given)
        submit = processes.submit

        def submitting(*job: Any) -> Any:
            future = submit(*job)
            for child in multiprocessing.active_children():
                child.kill()
            return future

        processes.submit = submitting  # type: ignore[method-assign, assignment]
        return processes

    search = tuner(tmp_path / "s", trials=2)
    monkeypatch.setattr(module, "pool", doomed_pool)
    with pytest.raises(GateFailedError, match=r"No trial of the search ended with a loss.*died"):
        search.search()
    assert {trial.ending for trial in search.trials} == {"failed"}


@pytest.mark.usefixtures("in_process")
def test_values_that_break_the_net_fail_every_trial_with_the_reason(tmp_path: Path) -> None:
    from retrain.engines.tfx.tuner import PoolTuner

    search = tuner(tmp_path / "s", trials=1)
    broken = msgspec.structs.replace(
        search._job, code=msgspec.structs.replace(search._job.code, build_model="no.such")
    )
    space, leases = search.oracle.hyperparameters, search._leases[:1]
    failing = PoolTuner(broken, space, {}, search._options, search._folder, leases)
    with pytest.raises(GateFailedError, match=r"no\.such cannot be used"):
        failing.search()


def test_a_space_that_fails_or_is_empty_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from retrain.engines.tfx.search_space import search_space_of
    from tests.retrain.engines.small_models.orders import model

    monkeypatch.setattr(model, "search_space", lambda hp: hp.Strange("x"))
    with pytest.raises(ConfigurationError, match=r"model.search_space fails: AttributeError"):
        search_space_of(BUILD)
    monkeypatch.setattr(model, "search_space", lambda hp: None)
    with pytest.raises(ConfigurationError, match="declares no hyperparameter"):
        search_space_of(BUILD)


def test_the_default_space_is_that_of_the_net_for_tables() -> None:
    from retrain.engines.tfx.search_space import search_space_of

    tabular = search_space_of("tests.retrain.engines.small_models.support.model.build_model")
    assert "embedding_size" in tabular.values
    other = search_space_of("retrain.models.big_tipper.big_tipper_model.build_model")
    assert set(other.values) == {"learning_rate", "batch"}


def test_a_model_without_build_model_cannot_be_tuned() -> None:
    from retrain.engines.tfx.tuner import tuner_component

    code = SimpleNamespace(build_model="", run_fn="x")
    with pytest.raises(ConfigurationError, match="has no build_model"):
        tuner_component(
            code,  # type: ignore[arg-type]
            examples=None, transform_graph=None, schema=None, model="m", steps=1, batch=1,
            tuner=TunerOptions(),
        )  # fmt: skip
