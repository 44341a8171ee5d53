"""Commands that use a console's API: `driftline --server ADDRESS --token-file FILE COMMAND`."""
