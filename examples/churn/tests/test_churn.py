"""What must hold of churn, whatever is changed."""

from pathlib import Path

from deploy.config import loader
from churn.contract import CODE, LABEL, outcome

SETTINGS = Path(__file__).parents[1] / "driftline.yaml"


def test_the_label_of_a_record_is_read():
    assert outcome({LABEL: 0}) in (0, 1)
    assert outcome({}) is None


def test_no_label_is_a_feature():
    assert LABEL not in [feature.name for feature in CODE.features]


def test_the_settings_fit_the_code():
    assert loader.load(SETTINGS, contracts=True).models
