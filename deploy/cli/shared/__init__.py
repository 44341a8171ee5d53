"""What all commands share: registration, errors, questions, completion."""
