"""The classical decoders, where attention stands inside the loop over time, and the dictionary of all."""

from __future__ import annotations

from typing import Any

from pipeline.model.decoder import Decoder, GNMTDecoder, beside

Tensor = Any


class BahdanauDecoder(Decoder):
    """The lowest layer's last state asks, and the context goes into its next step (Bahdanau et al., 2015, A.2.2).

    s_t = f(s_{t-1}, [y_{t-1}; c_t]), c_t = attention(s_{t-1}); layers above read the layer below and the context.
    """

    def input_sizes(self, embedding_size: int) -> list[int]:
        """See `Decoder.input_sizes`."""
        context = self.attention.context_size
        return [embedding_size + context] + [self.units + context] * len(self.layer_dropouts)

    def advance(
        self, embedded: Tensor, states: list[Tensor], fed: Tensor, attend: Any, dropped: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """See `Decoder.advance`."""
        context, weights = attend(states[0][..., : self.units])
        lowest = self.layers[0].step(beside(embedded, context), states[0])
        output, above = self._climb(lowest[..., : self.units], states[1:], context, dropped)
        return beside(output, context), [lowest, *above], fed, weights


class InputFeedingDecoder(Decoder):
    """The topmost layer asks, and the readout is fed to the lowest one's next step beside the token (Luong et al., 2015, 3.3)."""

    @property
    def fed(self) -> int:  # type: ignore[override]
        """The readout is part of the state."""
        return self.readout_size

    @property
    def feature_size(self) -> int:
        """The features are the readout itself."""
        return self.readout_size

    def input_sizes(self, embedding_size: int) -> list[int]:
        """See `Decoder.input_sizes`."""
        return [embedding_size + self.readout_size] + [self.units] * len(self.layer_dropouts)

    def advance(
        self, embedded: Tensor, states: list[Tensor], fed: Tensor, attend: Any, dropped: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """See `Decoder.advance`."""
        lowest = self.layers[0].step(beside(embedded, fed), states[0])
        output, above = self._climb(lowest[..., : self.units], states[1:], None, dropped)
        context, weights = attend(output)
        readout = super().readout(beside(output, context))
        return readout, [lowest, *above], readout, weights

    def readout(self, features: Tensor) -> Tensor:
        """Nothing is left to do."""
        return features


DECODERS: dict[str, type[Decoder]] = {"gnmt": GNMTDecoder, "bahdanau": BahdanauDecoder, "input_feeding": InputFeedingDecoder}
