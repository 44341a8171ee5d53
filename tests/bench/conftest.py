"""The measuring modules import engines, so the doctests of the quick run stay away from them."""

collect_ignore = [
    "__main__.py",
    "closing.py",
    "job_stack.py",
    "judging.py",
    "kafkaio.py",
    "kafkaio_stack.py",
    "feeding.py",
    "models.py",
    "one_by_one.py",
    "peers.py",
    "probe.py",
    "retraining.py",
    "rows.py",
    "serving_load.py",
    "soak.py",
    "soak_traffic.py",
    "stream.py",
    "windows.py",
]
