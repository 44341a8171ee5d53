"""The composition root: settings in; rules, contracts, ports and engines out."""
