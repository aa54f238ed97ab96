"""Seeing inside a trained model: attention, saliency, gates, hidden units, gradients through time, the beam, embeddings."""
