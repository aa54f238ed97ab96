"""The network, written with `keras.ops` alone: it runs on TensorFlow, JAX and PyTorch."""
