# SPDX-License-Identifier: MIT
"""hello.c in Python: hello.py [MODEL.gguf [PROMPT]] writes on from the prompt."""
import sys

import slm

path = sys.argv[1] if len(sys.argv) > 1 else None  # None: the model that the package carries
prompt = sys.argv[2] if len(sys.argv) > 2 else "Once upon a time"

try:
    with slm.Model(path) as model, model.session() as session:
        print(prompt, end="")
        for piece in session.generate(prompt, max_tokens=200):
            print(piece, end="", flush=True)
        print()
except slm.SlmError as error:
    sys.exit(f"hello: {error}")
