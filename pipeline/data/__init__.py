"""From corpora to what a model learns from: sources, cleaning and splits; sub-words; batches."""
