"""Tables and charts that the CLI and the demonstration show."""
