"""The processes' share of the machine, the files of curves, and the table."""

from __future__ import annotations

from pathlib import Path

from retrain.engines.tfx.trials import Curve, Trial, slots, visible_gpus
from retrain.engines.tfx.tuner_table import results_table


def test_each_process_has_a_gpu_of_its_own_while_there_are_enough() -> None:
    assert [slot.gpu for slot in slots(2, visible_gpus(4, None))] == ["0", "1"]
    assert [slot.gpu for slot in slots(3, visible_gpus(2, "GPU-a, GPU-b"))] == [
        "GPU-a",
        "GPU-b",
        "GPU-a",
    ]
    assert [slot.gpu for slot in slots(2, visible_gpus(0, "-1"))] == ["", ""]


def test_a_curve_reads_the_others_whole_lines(tmp_path: Path) -> None:
    mine, other = Curve(tmp_path, "a"), Curve(tmp_path, "b")
    for loss in (0.5, 0.25):
        other.append(loss)
    mine.append(0.75)
    assert mine.others() == [[0.5, 0.25]]
    with (tmp_path / "curves" / "b.txt").open("a") as stream:
        stream.write("0.12")  # not yet complete
    assert mine.others() == [[0.5, 0.25]]


def test_the_table_has_the_best_first_and_reasons_last() -> None:
    trials = [
        Trial(id="0", values={"units": 8, "rate": 0.0123456}, ending="pruned", loss=0.7, epochs=2),
        Trial(id="1", values={"units": 4}, ending="failed", reason="ValueError: no"),
        Trial(id="2", values={"units": 16}, ending="complete", loss=0.5, epochs=9, seconds=1.25),
    ]
    header, *lines = results_table(trials).splitlines()
    assert header.split()[:3] == ["trial", "loss", "epochs"]
    assert [line.split()[0] for line in lines] == ["2", "0", "1"]
    assert "rate=0.01235 units=8" in lines[1]
    assert lines[2].endswith("(ValueError: no)")
