"""A live version that is missing, damaged or another model's is named before the run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from retrain.engines.tfx.champion_check import CheckedTrainer, check_champion, problem_of
from retrain.engines.tfx.label_check import check_labels
from retrain.models.code import load_code
from retrain.ports import TrainingFailed, TrainingJob
from tests.retrain.builders import CONTRACT, request

pytestmark = pytest.mark.engine

FEATURES = frozenset({"fare", "company"})


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version as the platform exports it, with one variable."""
    import tensorflow as tf

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(2.0 * tf.ones(1_000))

        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="fare")])  # type: ignore[untyped-decorator]
        def columns(self, fare: Any) -> Any:
            return {"probabilities": fare * self.weight[0]}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])  # type: ignore[untyped-decorator]
        def examples(self, examples: Any) -> Any:
            return {"probabilities": tf.strings.to_number(examples) * self.weight[0]}

    folder = tmp_path_factory.mktemp("models") / "3"
    model = Model()
    signatures = {
        "serving_default": model.columns,
        "serving_examples": model.examples,
        "transform_features": model.examples,
    }
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


def copy_of(champion: Path, folder: Path) -> Path:
    return Path(shutil.copytree(champion, folder / "3"))


def problem(folder: Path, features: frozenset[str] = FEATURES) -> str:
    return problem_of(folder, features=features, output="probabilities")


def write_labels(folder: Path, tips: list[float]) -> None:
    """Examples of the taxi with a fare of 20 and these tips."""
    import tensorflow as tf

    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(folder / "train-0.tfrecord.gz"), options) as writer:
        for tip in tips:
            features = {
                name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                for name, value in (("fare", 20.0), ("tips", tip))
            }
            row = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(row.SerializeToString())


@pytest.mark.parametrize(
    ("tips", "problem"),
    [
        ([0.0] * 600, "all 600 labels are 0; two classes are needed"),
        ([0.0, 9.0] * 6, "there are 12 labels; at least 50 are needed"),
        ([], "there is no labelled row"),
    ],
)
def test_labels_of_one_class_and_a_dozen_rows_end_before_training(
    tmp_path: Path, tips: list[float], problem: str
) -> None:
    write_labels(tmp_path, tips)
    with pytest.raises(TrainingFailed, match=problem) as failed:
        check_labels(tmp_path, load_code(CONTRACT.module))
    assert failed.value.component == "Examples"
    assert "tips" in failed.value.advice


def test_a_version_of_the_platform_has_no_problem(champion: Path) -> None:
    assert problem(champion) == ""


def test_a_missing_and_a_damaged_version_are_named(champion: Path, tmp_path: Path) -> None:
    assert problem(tmp_path / "gone") == "its folder is missing"
    (tmp_path / "empty").mkdir()
    assert "no SavedModel" in problem(tmp_path / "empty")
    broken = copy_of(champion, tmp_path)
    (broken / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    assert problem(broken) == "its saved_model.pb is damaged"


def test_changed_and_missing_variables_are_found(champion: Path, tmp_path: Path) -> None:
    changed = copy_of(champion, tmp_path)
    (data,) = changed.glob("variables/variables.data-*")
    content = bytearray(data.read_bytes())
    content[100] ^= 0xFF
    data.chmod(0o644)
    data.write_bytes(bytes(content))
    assert problem(changed) == "its variables are damaged"
    shutil.rmtree(changed / "variables")
    assert problem(changed) == "its variables are missing"


def test_a_foreign_version_is_named(champion: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    assert "needs the field(s) fare" in problem(champion, frozenset({"company"}))
    other = problem_of(champion, features=FEATURES, output="predictions")
    assert "another task" in other
    foreign = tmp_path / "foreign"
    tf.saved_model.save(tf.Module(), str(foreign))
    assert "lacks the signature(s) serving_default" in problem(foreign)
    with pytest.raises(TrainingFailed) as failed:
        check_champion(foreign, features=FEATURES, output="probabilities")
    assert failed.value.component == "Champion"
    assert "rollback" in failed.value.advice


def test_the_trainer_is_not_asked_for_a_comparison_that_cannot_be_made(tmp_path: Path) -> None:
    write_labels(tmp_path, [0.0, 10.0] * 100)
    job = TrainingJob(
        request=request(), contract=CONTRACT, version=2, examples=tmp_path, rows=1,
        rows_after_shift=0, champion=tmp_path / "1", work_dir=tmp_path,
    )  # fmt: skip

    class NeverAsked:
        steps = 9

        def train(self, job: TrainingJob, on_progress: object) -> None:
            raise AssertionError("It may not be asked.")

    with pytest.raises(TrainingFailed, match="its folder is missing"):
        CheckedTrainer(NeverAsked()).train(job, lambda progress: None)
