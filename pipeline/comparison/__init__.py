"""Variations of one config, trained and scored under the same conditions, side by side."""
