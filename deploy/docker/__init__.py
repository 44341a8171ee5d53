"""The stack on official images: what the containers need that no image brings."""
