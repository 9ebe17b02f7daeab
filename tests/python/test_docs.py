# SPDX-License-Identifier: MIT
"""The guide's code runs as it stands there, block after block, and its tables name what there is."""
import re
import shutil

import pytest
from conftest import ROOT

import slm


def blocks(page):
    """(line, code) of each Python block."""
    text = (ROOT / page).read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start(1)) + 1, match[1]


@pytest.mark.parametrize("page", ["docs/python.md", "bindings/python/README.md"])
def test_code(page, tmp_path, monkeypatch):
    """A page's blocks share their names, as in a reader's console; model.gguf is the default model."""
    shutil.copy(slm.default_model_path(), tmp_path / "model.gguf")
    monkeypatch.chdir(tmp_path)
    names, found = {"__name__": "guide"}, list(blocks(page))
    assert found
    for line, code in found:
        exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), names)


def test_every_public_name_is_in_the_guide():
    text = (ROOT / "docs" / "python.md").read_text()
    missing = [name for name in slm.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []
    for kind in (slm.SessionSettings, slm.SequenceSettings, slm.GenerateSettings):
        missing = [name for name in kind.__annotations__ if f"`{name}`" not in text]
        assert missing == []
