"""The measuring modules import engines, so the doctests of the quick run stay away from them."""

collect_ignore = [
    "__main__.py",
    "job_stack.py",
    "judging.py",
    "models.py",
    "peers.py",
    "retraining.py",
    "serving_load.py",
    "stream.py",
    "windows.py",
]
