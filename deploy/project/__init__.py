"""A project of the user's own: guessed from data, written, checked, and its file replayed."""
