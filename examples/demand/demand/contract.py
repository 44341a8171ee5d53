"""What demand reads and predicts."""

from pathlib import Path

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

NUMBERS = ("temperature",)
CODES = ("rain",)
CATEGORIES = ("station",)
CALENDAR_WHOLE_NUMBERS = ("hour",)
CALENDAR_CODES = ("weekday", "holiday")
FEATURES = (
    *(FeatureSpec(name=name, kind="number") for name in NUMBERS),
    *(FeatureSpec(name=name, kind="integer", categorical=True) for name in CODES),
    *(FeatureSpec(name=name, kind="text", categorical=True) for name in CATEGORIES),
    *(FeatureSpec(name=name, kind="integer", judged=False) for name in CALENDAR_WHOLE_NUMBERS),
    *(
        FeatureSpec(name=name, kind="integer", categorical=True, judged=False)
        for name in CALENDAR_CODES
    ),
)
LABEL = "rentals"


def outcome(fields):
    """The label of a label record; None where it has none."""
    value = fields.get(LABEL)
    return None if value is None else float(value)


CODE = ModelCode(
    features=FEATURES,
    schema=Path(__file__).with_name("schema.pbtxt"),
    task=Task(kind="regression", loss="poisson"),
    preprocessing_fn="demand.preprocessing.preprocessing_fn",
    build_model="demand.model.build_model",
    label=f"{LABEL}_label",
    label_columns=(LABEL,),
    outcome=outcome,
)
