"""User code of the models, one package each, and what it is written with."""
