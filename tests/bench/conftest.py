"""The measuring modules import engines, so the quick test run does not collect their doctests."""

collect_ignore = [
    "__main__.py",
    "closing.py",
    "job_stack.py",
    "judging.py",
    "kafkaio.py",
    "kafkaio_stack.py",
    "feeding.py",
    "models.py",
    "kafkaio_pipeline.py",
    "comparison.py",
    "probe.py",
    "retraining.py",
    "revision_work.py",
    "revisions.py",
    "rows.py",
    "serving_load.py",
    "soak.py",
    "soak_traffic.py",
    "stream.py",
    "windows.py",
]
