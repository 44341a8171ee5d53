"""User code of the models: one package each, named in `driftline.yaml` by its import path."""
