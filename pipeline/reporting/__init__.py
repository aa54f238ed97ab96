"""A page of a run: what went in, how it was learnt, what came out."""
