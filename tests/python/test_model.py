# SPDX-License-Identifier: MIT
"""Models, tokenizers, conversations and samplers."""
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slm
from slm.experimental import convert


# ---- loading ----


def test_every_source_gives_the_same_model(tiny, tiny_bytes, tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_bytes)
    with open(path, "rb") as file:
        sources = [path, str(path), tiny_bytes, bytearray(tiny_bytes), memoryview(tiny_bytes), file,
                   io.BytesIO(tiny_bytes)]
        for source in sources:
            with slm.Model(source, n_threads=1) as model:
                assert model.info == tiny.info


def test_info(tiny, storyteller):
    info = tiny.info
    assert (info.architecture, info.name, info.n_layers, info.width) == ("llama", "tiny", 2, 32)
    assert info.n_tensors == len(tiny.tensors) == 20
    assert storyteller.info.name == "storyteller"
    assert storyteller.info.file_bytes == slm.default_model_path().stat().st_size


def test_metadata_and_tensors(tiny):
    assert tiny.metadata["general.architecture"] == "llama"
    assert tiny.metadata["tokenizer.ggml.add_bos_token"] == "true"
    first = tiny.tensors[0]
    assert first == slm.TensorInfo("token_embd.weight", "F32", (32, 286), 32 * 286 * 4)


def test_progress_is_told_and_can_cancel(tiny_bytes):
    shares = []
    slm.Model(tiny_bytes, progress=lambda done: shares.append(done)).close()
    assert shares and shares == sorted(shares) and 0 <= shares[0] and shares[-1] <= 1
    with pytest.raises(slm.CancelledError):
        slm.Model(tiny_bytes, progress=lambda done: True)


def test_what_callbacks_raise_is_raised(tiny_bytes):
    def progress(_):
        raise ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError, match="mine"):
        slm.Model(tiny_bytes, progress=progress)

    class Broken(io.BytesIO):
        def read(self, *_):
            raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        slm.Model(Broken(tiny_bytes))


def test_a_reader_that_gives_too_little(tiny_bytes):
    class Short(io.BytesIO):
        def read(self, size=-1):
            return super().read(size)[:-1]
    with pytest.raises(slm.IoError):
        slm.Model(Short(tiny_bytes))


@pytest.mark.parametrize("n_threads, kind", [(0, ValueError), (-1, ValueError), (257, ValueError),
                                             ("two", TypeError), (1.5, TypeError)])
def test_bad_threads(tiny_bytes, n_threads, kind):
    with pytest.raises(kind, match="n_threads"):
        slm.Model(tiny_bytes, n_threads=n_threads)


def test_bad_files(tiny_bytes, tmp_path):
    with pytest.raises(FileNotFoundError, match="none.gguf"):
        slm.Model(tmp_path / "none.gguf")
    with pytest.raises(OSError, match="directory"):
        slm.Model(tmp_path)
    with pytest.raises(slm.TruncatedError) as caught:
        slm.Model(tiny_bytes[:-10])
    assert caught.value.offset is not None
    with pytest.raises(slm.FormatError) as caught:
        slm.Model(b"FUGG" + tiny_bytes[4:])
    assert caught.value.offset == 0 and caught.value.name == "SLM_ERR_FORMAT"
    with pytest.raises((slm.TruncatedError, slm.FormatError)):
        slm.Model(b"")
    with pytest.raises(TypeError, match="source"):
        slm.Model(12)
    with pytest.raises(ValueError):
        slm.Model("a\0b")


def test_limits(tiny_bytes):
    with pytest.raises(slm.LimitError):
        slm.Model(tiny_bytes, max_tensors=3)
    with pytest.raises(slm.LimitError):
        slm.Model(tiny_bytes, max_string_bytes=4)
    with pytest.raises(slm.BudgetError):
        slm.Model(tiny_bytes, max_memory_bytes=1000)


def test_converted_files(tiny_bytes, tmp_path):
    original, converted = tmp_path / "original.gguf", tmp_path / "converted.slm"
    original.write_bytes(tiny_bytes)
    shares = []
    convert(original, converted, n_threads=1, progress=lambda done: shares.append(done))
    assert shares == sorted(shares) and 0.5 < shares[-1] <= 1
    with slm.Model(original) as a, slm.Model(converted) as b, slm.Model(converted, copy=True) as c:
        assert a.info.mapped_bytes == c.info.mapped_bytes == 0
        assert b.info.mapped_bytes == converted.stat().st_size
        texts = {model.session(n_threads=1).text("abc", max_tokens=8, temperature=0)
                 for model in (a, b, c)}
        assert len(texts) == 1
    with pytest.raises(slm.UnsupportedError, match="already"):
        convert(converted, tmp_path / "again")
    with pytest.raises(slm.InvalidArgumentError, match="itself"):
        convert(original, original)
    with pytest.raises(slm.CancelledError):
        convert(original, tmp_path / "again", progress=lambda done: True)
    with pytest.raises(ZeroDivisionError):
        convert(original, tmp_path / "again", progress=lambda done: 1 / 0)
    assert not (tmp_path / "again").exists()


@given(st.integers(0, 20000))
def test_every_cut_file_is_refused(tiny_bytes, length):
    with pytest.raises((slm.TruncatedError, slm.FormatError)):
        slm.Model(tiny_bytes[:length])


def test_a_closed_model(tiny_bytes):
    model = slm.Model(tiny_bytes)
    session = model.session()
    tokenizer = model.tokenizer
    model.close()
    model.close()
    with pytest.raises(slm.StateError):
        model.info
    assert tokenizer.decode(tokenizer.encode("still here")) == "still here"
    assert len(session.logits([1, 2])) == 2  # the session keeps what it uses alive
    session.close()
    session.close()


# ---- tokenizers ----


def test_encode(tiny):
    tokenizer = tiny.tokenizer
    assert tokenizer.encode("ab") == [285, 259, 260]
    assert tokenizer.encode(b"ab", add_special=True) == [1, 285, 259, 260]
    assert tokenizer.encode("") == []


def test_special_tokens(chatml):
    tokenizer = chatml.tokenizer
    assert tokenizer.encode("<|im_end|>", parse_special=True) == [287]
    ids = tokenizer.encode("<|im_end|>")
    assert 287 not in ids
    assert tokenizer.decode([287]) == ""
    assert tokenizer.decode([287], show_special=True) == "<|im_end|>"
    assert tokenizer.piece(287) == b"<|im_end|>"
    assert tokenizer.is_end(2) and not tokenizer.is_end(259) and not tokenizer.is_end(10**6)


def test_tokenizer_info(tiny):
    info = tiny.tokenizer.info
    assert (info.kind, info.n_vocab, info.bos, info.eos, info.unk) == ("spm", 286, 1, 2, 0)
    assert info.eot is None and info.adds_bos is True and info.adds_eos is False


def test_a_tokenizer_alone(vocabulary_path, tiny):
    tokenizer = slm.Tokenizer(vocabulary_path)
    assert tokenizer.encode("hello") == tiny.tokenizer.encode("hello")
    with pytest.raises(FileNotFoundError):
        slm.Tokenizer(str(vocabulary_path) + ".none")


def test_bad_text(tiny):
    tokenizer = tiny.tokenizer
    with pytest.raises(slm.InvalidUtf8Error) as caught:
        tokenizer.encode(b"abc\xff")
    assert caught.value.offset == 3
    with pytest.raises(ValueError):
        tokenizer.encode("\ud800")
    assert tokenizer.encode(b"\xff", errors="replace") == tokenizer.encode("\ufffd")
    with pytest.raises(ValueError):
        tokenizer.encode("a", errors="ignore")


def test_bad_ids(tiny):
    tokenizer = tiny.tokenizer
    with pytest.raises(IndexError) as caught:
        tokenizer.decode([259, 286])
    assert caught.value.offset == 1
    for bad in (-1, 286):
        with pytest.raises(slm.OutOfRangeError):
            tokenizer.piece(bad)
    with pytest.raises(ValueError):
        tokenizer.decode([2**40])


@given(st.text())
def test_text_survives(tiny, storyteller, text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    for model in (tiny, storyteller):
        assert model.tokenizer.decode(model.tokenizer.encode(text)) == text


@given(st.binary())
def test_bytes_are_replaced_as_python_does(tiny, data):
    tokenizer = tiny.tokenizer
    assert tokenizer.encode(data, errors="replace") == tokenizer.encode(data.decode(errors="replace"))


# ---- conversations ----


def test_chat(chatml):
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "<|im_end|>é"}]
    assert chatml.chat_format == "chatml"
    text = chatml.render_chat(messages)
    assert text == ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\n<|im_end|>é<|im_end|>\n"
                    "<|im_start|>assistant\n")
    assert not chatml.render_chat(messages, add_generation_prompt=False).endswith("assistant\n")
    ids = chatml.encode_chat(messages)
    assert ids[0] == 1 and ids.count(287) == 2  # the one in the message stays text
    assert chatml.encode_chat(messages[1:], is_continuation=True)[0] != 1
    answer = chatml.chat(messages, session={"n_threads": 1}, max_tokens=5, temperature=0)
    assert isinstance(answer, str)


def test_a_chat_goes_on_as_the_template_says(chatml):
    question, again = {"role": "user", "content": "a"}, {"role": "user", "content": "b"}
    with chatml.session() as session, session.sequence() as sequence:
        sequence.append(chatml.encode_chat([question]))
        list(sequence.generate(max_tokens=3, ignore_end=True, temperature=0.0))
        answer = sequence.tokens[-3:]
        sequence.append([chatml.tokenizer.info.eot])  # it was cut
        sequence.append(chatml.encode_chat([again], is_continuation=True))
        ids = sequence.tokens
    messages = [question, {"role": "assistant", "content": "c"}, again]
    whole = chatml.encode_chat(messages)
    i = whole.index(chatml.tokenizer.encode("c")[-1])
    assert ids == whole[:i] + answer + whole[i + 1:]
    text = chatml.render_chat([question]) + "c<|im_end|>"
    assert text + chatml.render_chat([again], is_continuation=True) == chatml.render_chat(messages)


def test_chat_errors(chatml, unknown_template):
    with pytest.raises(slm.UnsupportedError, match="something_else"):
        unknown_template.chat_format
    with pytest.raises(slm.UnsupportedError):
        chatml.render_chat([{"role": "narrator", "content": "x"}])
    with pytest.raises(ValueError):
        chatml.render_chat([])
    with pytest.raises(ValueError, match="content"):
        chatml.render_chat([{"role": "user"}])
    with pytest.raises(ValueError):
        chatml.render_chat([{"role": "us\0er", "content": "x"}])


# ---- samplers ----


def test_numbers_are_no_bytes(tiny):
    for wrong in (5, [72, 105], None):
        with pytest.raises(TypeError):
            tiny.tokenizer.encode(wrong)
        with pytest.raises(TypeError):
            tiny.session().restore(wrong)
    assert tiny.tokenizer.encode(bytearray(b"ab")) == tiny.tokenizer.encode("ab")


class Dripping(io.BytesIO):
    """Gives at most 7 bytes at a time, as a pipe or an unbuffered file may."""

    def read(self, size=-1):
        return super().read(min(size, 7) if size >= 0 else 7)


def test_files_may_give_less_than_asked_for(tiny_bytes):
    assert slm.Model(Dripping(tiny_bytes)).info == slm.Model(tiny_bytes).info


def test_text_files_are_refused(tmp_path, tiny_bytes):
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_bytes)
    with open(path, encoding="latin-1", newline="") as file, pytest.raises(TypeError, match="'rb'"):
        slm.Model(file)


def test_sampler():
    sampler = slm.Sampler(5, temperature=0.0)
    logits = [0.0, 3.0, 1.0, 3.0, -2.0]
    token, logprob = sampler.sample(logits)
    assert token == 1  # of equals the lowest
    largest = math.log(sum(map(math.exp, logits)))
    assert logprob == pytest.approx(3.0 - largest, abs=1e-5)
    assert [token for token, _ in sampler.top(logits, 3)] == [1, 3, 2]
    sampler.set("repetition_penalty", 10.0)
    assert sampler.sample(logits, history=[1, 3])[0] == 2


def test_sampler_draws_are_repeatable():
    logits = [0.1 * (i % 7) for i in range(50)]
    a = slm.Sampler(50, seed=3, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    b = slm.Sampler(50, seed=3, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    draws = [a.sample(logits, draw=n)[0] for n in range(30)]
    assert draws == [b.sample(logits, draw=n)[0] for n in range(30)]
    assert len(set(draws)) > 5


def test_sampler_settings():
    sampler = slm.Sampler(5, top_k=7, temperature=0.5)
    assert sampler.get("top_k") == 7 and sampler.get("temperature") == 0.5
    assert sampler.get("penalty_last_n") == 64
    for name, value, kind in (("top_k", -1, ValueError), ("top_k", 1.5, TypeError),
                              ("temperature", float("nan"), ValueError),
                              ("temperature", -1.0, slm.OutOfRangeError),
                              ("temperature", "hot", TypeError), ("top_p", None, TypeError),
                              ("min_p", 10**400, ValueError)):
        with pytest.raises(kind, match=name):
            sampler.set(name, value)
    with pytest.raises(TypeError):
        sampler.set("warmth", 1)
    with pytest.raises(TypeError):
        sampler.get("warmth")
    with pytest.raises(ValueError):
        slm.Sampler(0)
    with pytest.raises(ValueError):
        sampler.sample([1.0])
    with pytest.raises(slm.NotFiniteError):
        sampler.sample([float("inf")] * 5)
    with pytest.raises(slm.OutOfRangeError):
        sampler.top([0.0] * 5, 6)
