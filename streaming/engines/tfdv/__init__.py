"""TensorFlow Data Validation: statistics protos, schema text, validation."""
