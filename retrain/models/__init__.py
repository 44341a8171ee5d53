"""User code of the models: one folder each, named in `driftline.yaml` by its import path."""
