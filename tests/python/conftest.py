# SPDX-License-Identifier: MIT
"""Models for the tests of the Python package."""
import sys
from pathlib import Path

import pytest
from hypothesis import settings

import slm

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "examples"))
import tiny_model  # noqa: E402

settings.register_profile("slm", deadline=None, max_examples=60, database=None)
settings.load_profile("slm")

CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


@pytest.fixture(scope="session")
def storyteller():
    """The default model."""
    with slm.Model() as model:
        yield model


@pytest.fixture(scope="session")
def tiny_bytes():
    """A tiny random model with a byte-wise vocabulary."""
    return tiny_model.make()


@pytest.fixture(scope="session")
def tiny(tiny_bytes):
    with slm.Model(tiny_bytes) as model:
        yield model


@pytest.fixture(scope="session")
def chatml():
    data = tiny_model.make(chat_template=CHATML, extra_tokens=["<|im_start|>", "<|im_end|>"])
    with slm.Model(data) as model:
        yield model


@pytest.fixture(scope="session")
def broken():
    """The tiny model, but the logits after the token 284 ("z") are not finite."""
    with slm.Model(tiny_model.make(broken=284)) as model:
        yield model


@pytest.fixture(scope="session")
def unknown_template():
    with slm.Model(tiny_model.make(chat_template="{{ something_else }}")) as model:
        yield model


@pytest.fixture(scope="session")
def vocabulary_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.gguf"
    path.write_bytes(tiny_model.make(with_weights=False))
    return path
