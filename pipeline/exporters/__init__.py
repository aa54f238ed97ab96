"""A trained run as files that need nothing of ours: a SavedModel for servers, .tflite files for phones; and proof that they agree."""
