"""A task that a small model learns in a minute: digits read backwards."""

from __future__ import annotations

import random
from pathlib import Path

from pipeline.data.splits import hash64, split_bounds, split_key

CONFIG = """
name: toy
data:
  source_language: en
  target_language: xx
  sources:
    - {{kind: files, source: {folder}/digits.en, target: {folder}/digits.xx}}
  cleaning: {{copies: false}}
  validation: 0.05
  test: 0.05
tokenizer: {{vocabulary_size: auto, slots: 0}}
model:
  embedding_size: 32
  encoder: {{units: 32}}
  attention: {{units: 32}}
  decoder: {{units: 64}}
  shared_embeddings: true
  tied_output: true
  dropout: 0.0
  max_tokens: 20
training:
  epochs: 1
  batch_tokens: 200
  learning_rate: 1.0e-2
  warmup_steps: 50
  label_smoothing: 0.0
  validations: 4
  validation_sentences: 20
  precision: float32
decoding: {{max_tokens: 20}}
"""


def split_of(source: str, validation: float, test: float) -> str:
    """The split of a source by its hash alone."""
    key = hash64(split_key(source))
    below, from_ = split_bounds(validation, test)
    return "test" if key < below else "validation" if key >= from_ else "train"


def write_toy(folder: Path, pairs: int = 600, shortest: int = 2, longest: int = 4, seed: int = 1) -> Path:
    """Writes a corpus of digit strings and their reverse, and a config for it; gives back the config's path."""
    generator = random.Random(seed)
    # Spelt as letters: runs of digits count as one number when pairs are split, and these sentences are nothing but runs.
    sources = sorted({" ".join(generator.choices("abcdefghij", k=generator.randint(shortest, longest))) for _ in range(pairs)})
    generator.shuffle(sources)
    (folder / "digits.en").write_text("".join(f"{line}\n" for line in sources))
    (folder / "digits.xx").write_text("".join(f"{line[::-1]}\n" for line in sources))
    path = folder / "toy.yaml"
    path.write_text(CONFIG.format(folder=folder))
    return path
