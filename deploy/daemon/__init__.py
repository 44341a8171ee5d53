"""The control loop: one controller per model, run by Faust."""
