"""Who may do what: roles, passwords, tokens, sessions, and signed commands."""
