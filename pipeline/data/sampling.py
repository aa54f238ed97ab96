"""Sampled segmentations: the same sentence cut otherwise, by a generator of random numbers that a seed repeats.

SentencePiece samples too, but since version 0.2.2 its generator begins otherwise in every process, whatever the seed: a training that
was killed would not go on as it was. So the best segmentation is SentencePiece's, and only the choice within each word is ours.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random
from collections.abc import Iterator, Sequence

import sentencepiece

SPACE = "▁"
_WORDS_KEPT = 10_000

# For each end within a word: the pieces that end there, as (start, piece), and their probabilities, summed up one after the other.
Lattice = list[tuple[list[tuple[int, str]], list[float]]]


class Sampler:
    """Samples segmentations with the pieces of a SentencePiece model, unigram or BPE.

    Args:
        processor: of the model.
        unknown: id of the unknown piece.
        controls: number of control pieces; they come first.
    """

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, unknown: int, controls: int) -> None:
        self._unknown = unknown
        self._ids: dict[str, int] = {}
        self._scores: dict[str, float] = {}
        for number in range(controls, processor.get_piece_size()):
            piece, score = processor.id_to_piece(number), processor.get_score(number)
            self._ids[piece] = number
            # A placeholder has score 0 and is never cut. (The first merge of a BPE model has -0.)
            if score or math.copysign(1.0, score) < 0:
                self._scores[piece] = score
        # The scores of a BPE model are its merges, numbered from 0 down; of a unigram model, log probabilities.
        self._is_bpe = max(self._scores.values()) == 0.0
        self._longest = max(map(len, self._scores))
        self._lattice = functools.lru_cache(_WORDS_KEPT)(self._make_lattice)

    def sample(self, pieces: Sequence[str], alpha: float, generator: random.Random) -> list[int]:
        """Ids of another segmentation of a text.

        Args:
            pieces: its best segmentation.
            alpha: unigram: each segmentation has a probability in proportion to P(segmentation) ** alpha (Kudo, 2018, 3.3, over
                all segmentations); bpe: probability that a merge is left out (Provilkov et al., 2020, algorithm 1).
            generator: source of all randomness.
        """
        cut = self._merged if self._is_bpe else self._drawn
        result: list[int] = []
        for ordinary, word in self._words(pieces):
            found = [self._ids.get(piece, self._unknown) for piece in (cut(word, alpha, generator) if ordinary else [word])]
            # SentencePiece makes one piece of unknown characters in a row.
            if found != [self._unknown] or result[-1:] != found:
                result += found
        return result

    def _words(self, pieces: Sequence[str]) -> Iterator[tuple[bool, str]]:
        """Joins ordinary pieces to words, which begin with a space; the others, placeholders and unknown characters, stand alone."""
        word = ""
        for piece in pieces:
            ordinary = piece in self._scores
            if word and (not ordinary or piece.startswith(SPACE)):
                yield True, word
                word = ""
            if ordinary:
                word += piece
            else:
                yield False, piece
        if word:
            yield True, word

    def _drawn(self, word: str, alpha: float, generator: random.Random) -> list[str]:
        """Unigram: from the end backwards, each piece with its probability among those that end where the next one begins."""
        lattice = self._lattice(word, alpha)
        pieces, end = [], len(word)
        while end:
            edges, sums = lattice[end]
            end, piece = edges[min(bisect.bisect(sums, generator.random() * sums[-1]), len(edges) - 1)]
            pieces.append(piece)
        return pieces[::-1]

    def _make_lattice(self, word: str, alpha: float) -> Lattice:
        # forward[j]: log of the sum over all segmentations of the first j characters.
        forward = [0.0]
        lattice: Lattice = [([], [])]
        for end in range(1, len(word) + 1):
            starts = range(max(0, end - self._longest), end)
            edges = [(start, word[start:end]) for start in starts if word[start:end] in self._scores and forward[start] > -math.inf]
            logs = [forward[start] + alpha * self._scores[piece] for start, piece in edges]
            most = max(logs, default=-math.inf)
            sums = list(itertools.accumulate(math.exp(log - most) for log in logs))
            forward.append(most + math.log(sums[-1]) if sums else -math.inf)
            lattice.append((edges, sums))
        return lattice

    def _merged(self, word: str, dropout: float, generator: random.Random) -> list[str]:
        """BPE: merges the best pair of neighbours, again and again; each time, each pair is overlooked with some probability."""
        pieces = list(word)
        while True:
            pairs = [
                (-self._scores[pair], number)
                for number, pair in enumerate(map("".join, itertools.pairwise(pieces)))
                if pair in self._scores and generator.random() >= dropout
            ]
            if not pairs:
                return pieces
            _, number = min(pairs)
            pieces[number : number + 2] = ["".join(pieces[number : number + 2])]
