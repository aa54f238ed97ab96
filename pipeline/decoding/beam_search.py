"""Beam search over any step function, written with `keras.ops` alone.

The same code runs in training's validation, in `translate`, inside the SavedModel and inside the .tflite file. Settings and formulas
stand in `search.py`; what may not be written, in `rules.py`; how the next hypotheses are chosen, in `choosing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops

from pipeline.decoding.choosing import Choose, Drawn, children_of, likeliest, likeliest_of
from pipeline.decoding.finished import Finished
from pipeline.decoding.rules import Position, Rule
from pipeline.decoding.search import NEVER, Found, Search, log_sum_exp

Tensor = Any

# (last tokens [B, K], states [B, K, X]) -> (readouts [B, K, R], next states [B, K, X], attention weights [B, K, S])
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Beam(NamedTuple):
    """The unfinished hypotheses of all sentences, and the best finished ones.

    Attributes:
        index: tokens written so far.
        tokens: [B, K] the last one of each hypothesis.
        states: [B * K, X].
        alive: [B, K] log probabilities; below NEVER / 2 where there is no hypothesis.
        written: of each hypothesis [B * K, ...]: its tokens [L] int32; where it is asked for, the attention that each source token has
            had [S], and the source token that each target token looked at most [L].
        memories: of each rule [B * K, ...].
        finished: the best.
        ended: [B] how many have ended by themselves, the best and all others.
    """

    index: Tensor
    tokens: Tensor
    states: Tensor
    alive: Tensor
    written: tuple[Tensor, ...]
    memories: tuple[Tensor, ...]
    finished: Finished
    ended: Tensor

    def of(self, sentences: Tensor) -> Beam:
        """The same of some sentences, [M] int32 of 0 to B - 1."""
        beams = self.tokens.shape[1]
        rows = ops.reshape(sentences[:, None] * beams + ops.arange(beams, dtype="int32"), (-1,))
        return Beam(
            self.index,
            ops.take(self.tokens, sentences, axis=0),
            ops.take(self.states, rows, axis=0),
            ops.take(self.alive, sentences, axis=0),
            tuple(ops.take(part, rows, axis=0) for part in self.written),
            tuple(ops.take(part, rows, axis=0) for part in self.memories),
            self.finished.of(sentences),
            ops.take(self.ended, sentences, axis=0),
        )


class BeamSearch:
    """Looks for the best translations of each sentence; see `Search` for what is best.

    At every step the unfinished hypotheses are grown by one token and the K best results kept. Those that end leave the beam, and
    their places go to the growth of the others; so a beam of one is greedy search. A sentence is done when no unfinished
    hypothesis can still win: growing only lowers a log probability, so its best possible score is the one it has now, divided by
    the penalty of the longest length, with all of its source covered. With `Search.patience`, all others leave when enough have
    ended. A hypothesis that reaches its limit of tokens is cut off there and stands behind all that ended.

    Args:
        step: the model, one token at a time.
        search: the settings.
        source_mask: [B, S] bool, True at real tokens, EOS among them.
        rules: what may not be written.
        choose: the likeliest, or by lot.
        with_attention: say also which source tokens were looked at.
        most: [B] int32 the limit of tokens of each translation; default: the settings'.
        output: readouts [..., R] to logits [..., V]; default: they are the logits.
        live_only: the output layer is given those hypotheses alone that can still win: the same translations, for less work, where the
            likeliest are chosen, no rule looks at a hypothesis, and the number of rows may change in a graph.
        pieces: [V] int32 with `live_only`, where the output layer is for a shortlist: the id of each of its logits.
    """

    def __init__(
        self,
        step: Step,
        search: Search,
        source_mask: Tensor,
        rules: Sequence[Rule] = (),
        choose: Choose = likeliest,
        with_attention: bool = False,
        most: Tensor | None = None,
        output: Callable[[Tensor], Tensor] | None = None,
        live_only: bool = False,
        pieces: Tensor | None = None,
    ) -> None:
        self.output, self.live_only, self.pieces = output or (lambda readouts: readouts), live_only, pieces
        self.step, self.search, self.mask = step, search, source_mask
        self.rules, self.choose, self.with_attention = rules, choose, with_attention
        self.with_coverage = with_attention or bool(search.coverage_penalty)
        self.most = (search.most(ops.sum(ops.cast(source_mask, "int32"), axis=-1)) if most is None else most)[:, None]
        self.longest = search.penalty(self.most)

    def begin(self, initial: Tensor) -> Beam:
        """Before the first token; `initial`: [B, X] the states."""
        search, beams, batch = self.search, self.search.beam_size, ops.shape(initial)[0]
        # All hypotheses start as the same one: only the first may be grown at first, unless they go by lot.
        alive = ops.where(ops.arange(beams) == 0, 0.0, 0.0 if isinstance(self.choose, Drawn) else NEVER)
        return Beam(
            index=ops.zeros((), dtype="int32"),
            tokens=ops.full((batch, beams), search.bos, dtype="int32"),
            states=ops.repeat(initial, beams, axis=0),
            alive=ops.broadcast_to(alive[None, :], (batch, beams)),
            written=self._nothing(batch * beams),
            memories=tuple(rule.begin(batch, beams) for rule in self.rules),
            finished=Finished(
                scores=ops.full((batch, search.best), NEVER),
                log_probs=ops.full((batch, search.best), NEVER),
                ended=ops.zeros((batch, search.best)),
                written=self._nothing(batch, search.best),
            ),
            ended=ops.zeros((batch,), dtype="int32"),
        )

    def unfinished(self, beam: Beam) -> Tensor:
        """[B] bool: sentences with a hypothesis that can still win."""
        return ops.any(self._can_win(beam), axis=1)

    def run(self, beam: Beam, until: Tensor | None = None) -> Beam:
        """Until all sentences are done, or so many tokens are written."""

        def unfinished(*parts: Any) -> Tensor:
            beam = Beam(*parts)
            going = ops.any(self.unfinished(beam))
            return going if until is None else ops.logical_and(going, beam.index < until)

        return Beam(*ops.while_loop(unfinished, lambda *parts: self.grow(Beam(*parts)), beam))

    def found(self, beam: Beam) -> Found:
        """What has been found."""
        finished = beam.finished
        attention = finished.written[1] if self.with_attention else None
        return Found(finished.written[0], finished.scores, finished.log_probs, attention)

    def grow(self, beam: Beam) -> Beam:
        """One token more."""
        search, (batch, beams) = self.search, ops.shape(beam.tokens)
        width = ops.shape(beam.states)[-1]
        readouts, states, weights = self.step(beam.tokens, ops.reshape(beam.states, (batch, beams, width)))
        alive, tokens, parents = (self._chosen_of_live if self.live_only else self._chosen)(beam, readouts)
        rows = ops.reshape(parents + ops.arange(batch, dtype="int32")[:, None] * beams, (-1,))

        written = self._write(beam, tokens, ops.reshape(weights, (batch * beams, -1)) if self.with_coverage else None, rows)
        memories = tuple(
            rule.follow(ops.take(memory, rows, axis=0), ops.reshape(tokens, (-1,)))
            for rule, memory in zip(self.rules, beam.memories, strict=True)
        )
        states = ops.take(ops.reshape(states, (batch * beams, width)), rows, axis=0)

        # Those that end, or reach their limit, leave the beam.
        exists = alive > NEVER / 2
        ended = ops.logical_and(tokens == search.eos, exists)
        leaves = ops.logical_or(ended, beam.index + 1 >= self.most)
        scores = alive / search.penalty(beam.index + 1)
        if search.coverage_penalty:
            scores = scores + search.coverage(ops.reshape(written[1], (batch, beams, -1)), self.mask[:, None])
        scores = ops.where(ops.logical_and(leaves, exists), scores, NEVER)
        finished = beam.finished.joined(scores, alive, ops.cast(ended, "float32"), written)
        number = beam.ended + ops.sum(ops.cast(ended, "int32"), axis=1)
        if search.enough is not None:
            leaves = ops.logical_or(leaves, number[:, None] >= search.enough)
        return Beam(beam.index + 1, tokens, states, ops.where(leaves, NEVER, alive), written, memories, finished, number)

    def _can_win(self, beam: Beam) -> Tensor:
        """[B, K] bool: hypotheses that can still win."""
        return ops.logical_and(beam.alive > NEVER / 2, beam.alive / self.longest > beam.finished.to_beat())

    def _chosen(self, beam: Beam, readouts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The next hypotheses: log probabilities, tokens and parents, all [B, K]; `readouts`: [B, K, R]."""
        logits, (batch, beams) = self.output(readouts), ops.shape(beam.tokens)
        allowed = self._allowed(Position(beam.index, beam.written[0], batch, beams, logits.shape[-1]), logits, beam.memories)
        return self.choose(allowed, log_sum_exp(logits), beam.alive, beam.memories)

    def _chosen_of_live(self, beam: Beam, readouts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`_chosen` without the others: a hypothesis that cannot win is less likely than all that can, and so are those it leads to."""
        live, (batch, beams) = self._can_win(beam), ops.shape(beam.tokens)
        if self.search.enough is not None:  # it counts all that end
            live = ops.logical_and(ops.any(live, axis=1, keepdims=True), beam.alive > NEVER / 2)
        rows = ops.cast(ops.nonzero(ops.reshape(live, (-1,)))[0], "int32")  # [M]
        logits = self.output(ops.take(ops.reshape(readouts, (-1, readouts.shape[-1])), rows, axis=0))
        allowed = self._allowed(Position(beam.index, beam.written[0], ops.shape(rows)[0], 1, logits.shape[-1]), logits, beam.memories)
        best, tokens = children_of(allowed, beams)  # --> [M, N]
        if self.pieces is not None:
            tokens = ops.take(self.pieces, tokens, axis=0)

        def back(part: Tensor) -> Tensor:
            """[M, N] -> [B, K, N], 0 at the others."""
            number = part.shape[-1]
            return ops.reshape(ops.scatter(rows[:, None], part, (batch * beams, number)), (batch, beams, number))

        scores = back(best - log_sum_exp(logits)[:, None]) + ops.where(live, beam.alive, NEVER)[..., None]
        return likeliest_of(scores, back(tokens))

    def _allowed(self, at: Position, logits: Tensor, memories: tuple[Tensor, ...]) -> Tensor:
        """The logits, very low where a rule forbids a token."""
        vetoes = [rule.veto(at, memory) for rule, memory in zip(self.rules, memories, strict=True)]
        allowed = sum(vetoes, start=logits)
        for rule, veto in zip(self.rules, vetoes, strict=True):
            decides = rule.decides(at)
            if decides is not None:
                allowed = ops.where(decides, logits + veto, allowed)
        return allowed

    def _write(self, beam: Beam, tokens: Tensor, weights: Tensor | None, rows: Tensor) -> tuple[Tensor, ...]:
        """What the children have written: of the parents at `rows`, and the step's tokens [B, K] and attention [B * K, S]."""
        here = ops.arange(self.search.max_tokens, dtype="int32") == beam.index
        before = [ops.take(part, rows, axis=0) for part in beam.written]
        ids = ops.where(here, ops.reshape(ops.cast(tokens, "int32"), (-1, 1)), before[0])
        return (ids,) if weights is None else (ids, before[1] + ops.take(weights, rows, axis=0))

    def _nothing(self, *lead: Any) -> tuple[Tensor, ...]:
        """Written before the first token."""
        tokens = ops.zeros((*lead, self.search.max_tokens), dtype="int32")
        return (tokens, ops.zeros((*lead, ops.shape(self.mask)[1]))) if self.with_coverage else (tokens,)


def beam_search(
    step: Step,
    initial: Tensor,
    search: Search,
    source_mask: Tensor | None = None,
    rules: Sequence[Rule] = (),
    choose: Choose = likeliest,
    with_attention: bool = False,
) -> Found:
    """The best translations of each sentence, in one go; see `BeamSearch`.

    Args:
        step, search, rules, choose, with_attention: see there.
        initial: [B, X] the state before the first token.
        source_mask: needed where the settings speak of the source.
    """
    mask = ops.ones((ops.shape(initial)[0], 1), dtype="bool") if source_mask is None else source_mask
    searching = BeamSearch(step, search, mask, rules, choose, with_attention)
    return searching.found(searching.run(searching.begin(initial)))
