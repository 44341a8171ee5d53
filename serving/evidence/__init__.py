"""Evidence about a canary besides its request counts: scores, realised quality, users' queries.

Each module holds a small state that is added to, record by record or look by look, and a pure
function that turns it into a `GateResult`. The promise of every gate holds over all its looks.
"""
