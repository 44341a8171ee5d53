"""Code that runs inside a competitor's environment: the standard library, numpy, the competitor and
`wire`."""
