"""What an app needs beside the exported files: `ai_edge_litert`, `sentencepiece`, and this package, which needs nothing else of ours.

`python -m pipeline.export` puts a copy of it, called pocketnmt_runtime, beside the files:

    from pathlib import Path
    from pocketnmt_runtime.translator import PhoneTranslator

    print(PhoneTranslator(Path("export/tflite")).translate("Turn on the light."))
"""
