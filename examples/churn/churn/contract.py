"""What churn reads and predicts."""

from pathlib import Path

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

NUMBERS = ("monthly_fee",)
WHOLE_NUMBERS = ("tenure",)
CODES = ("calls", "paperless")
CATEGORIES = ("contract", "region")
FEATURES = (
    *(FeatureSpec(name=name, kind="number") for name in NUMBERS),
    *(FeatureSpec(name=name, kind="integer") for name in WHOLE_NUMBERS),
    *(FeatureSpec(name=name, kind="integer", categorical=True) for name in CODES),
    *(FeatureSpec(name=name, kind="text", categorical=True) for name in CATEGORIES),
)
LABEL = "churned"


def outcome(fields):
    """The label of a label record; None where it has none."""
    value = fields.get(LABEL)
    return None if value is None else bool(value)


CODE = ModelCode(
    features=FEATURES,
    schema=Path(__file__).with_name("schema.pbtxt"),
    task=Task(kind="binary"),
    preprocessing_fn="churn.preprocessing.preprocessing_fn",
    build_model="churn.model.build_model",
    label=f"{LABEL}_label",
    label_columns=(LABEL,),
    outcome=outcome,
)
