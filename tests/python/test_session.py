# SPDX-License-Identifier: MIT
"""Sessions, sequences and generations on one thread."""
import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import slm

GREEDY = {"temperature": 0.0}
PROMPT = "Once upon a time"


@pytest.fixture()
def session(storyteller):
    with storyteller.session(n_sequences=4, top_logprobs=4) as made:
        yield made


# ---- generation ----


def test_pieces_tokens_and_text_agree(session):
    settings = {**GREEDY, "max_tokens": 20}
    text = session.text(PROMPT, **settings)
    pieces = list(session.generate(PROMPT, **settings))
    tokens = list(session.generate(PROMPT, tokens=True, n_top=3, **settings))
    assert "".join(pieces) == "".join(token.text for token in tokens) == text
    assert len(tokens) == 20 and all(isinstance(piece, str) and piece for piece in pieces)
    ids = session.model.tokenizer.encode(PROMPT, add_special=True)
    assert [token.position for token in tokens] == list(range(len(ids), len(ids) + 20))
    for token in tokens:
        assert token.top[0] == (token.id, token.logprob)  # greedy takes the best
        assert len(token.top) == 3 and token.logprob <= 0


def test_ids_and_bytes_are_prompts_too(session):
    settings = {**GREEDY, "max_tokens": 8}
    ids = session.model.tokenizer.encode(PROMPT, add_special=True)
    text = session.text(PROMPT, **settings)
    assert session.text(ids, **settings) == session.text(PROMPT.encode(), **settings) == text
    assert session.text(iter(ids), **settings) == text


def test_finish_reasons(session, tiny):
    length = session.generate(PROMPT, max_tokens=3, **GREEDY)
    list(length)
    assert (length.finish_reason, length.n_generated) == ("length", 3)
    stop = session.generate(PROMPT, max_tokens=200, stop=["."], **GREEDY)
    assert "." not in "".join(stop) and stop.finish_reason == "stop"
    assert session.text(PROMPT, max_tokens=200, stop=".", **GREEDY)
    with tiny.session(context_length=16) as small:
        full = small.generate([1, 259], ignore_end=True)
        list(full)
        assert full.finish_reason == "context" and full.n_generated == 14


def test_seeds(session):
    def text(seed):
        return session.text(PROMPT, max_tokens=25, seed=seed, temperature=1.0)
    assert text(1) == text(1) != text(2)


def test_a_generation_that_is_left_alone_gives_its_sequence_back(storyteller):
    with storyteller.session() as session:  # room for one sequence
        for piece in session.generate(PROMPT, max_tokens=50):
            break
        del piece
        gc.collect()
        generation = session.generate(PROMPT, max_tokens=50)
        next(generation)
        generation.close()
        with pytest.raises(StopIteration):
            next(generation)
        assert session.text(PROMPT, max_tokens=2, **GREEDY)


def test_a_sequence_that_nobody_refers_to_leaves(storyteller):
    with storyteller.session() as session:
        session.sequence().append(PROMPT)
        gc.collect()
        sequence = session.sequence()
        sequence.append(PROMPT)
        for _ in sequence.generate(max_tokens=50):
            break
        gc.collect()
        sequence.append(" and")  # the generation that was left alone is over
        assert not sequence.is_generating


def test_generations_can_be_read_in_turn(session):
    alone = [session.text(prompt, max_tokens=12, **GREEDY) for prompt in (PROMPT, "The dog")]
    a = session.generate(PROMPT, max_tokens=12, **GREEDY)
    b = session.generate("The dog", max_tokens=12, **GREEDY)
    texts = ["", ""]
    for _ in range(30):
        texts[0] += next(a, "")
        texts[1] += next(b, "")
    assert texts == alone


def test_cancel(session):
    generation = session.generate(PROMPT, max_tokens=100, ignore_end=True)
    next(generation)
    generation.cancel()
    list(generation)
    assert generation.finish_reason == "cancelled"
    assert session.text(PROMPT, max_tokens=2, **GREEDY)  # the session goes on working


@pytest.mark.parametrize("settings, kind", [
    ({"max_tokens": 0}, ValueError), ({"max_tokens": -1}, ValueError),
    ({"n_top": 5}, ValueError), ({"n_top": -1}, ValueError),
    ({"stop": [""]}, ValueError), ({"stop": ["a\0b"]}, ValueError), ({"stop": ["x" * 300]}, ValueError),
    ({"stop": ["x"] * 17}, ValueError), ({"stop": [b"\xff"]}, slm.InvalidUtf8Error),
    ({"temperature": -1.0}, slm.OutOfRangeError), ({"top_p": 2.0}, slm.OutOfRangeError),
    ({"warmth": 1}, TypeError), ({"temperature": "hot"}, TypeError), ({"top_k": 1.5}, TypeError),
    ({"max_tokens": "many"}, TypeError), ({"stop": [5]}, TypeError), ({"seed": -1}, ValueError),
    ({"on_full": 5}, TypeError), ({"window": -1}, ValueError), ({"full": 1}, TypeError),
    ({"full": "spill"}, ValueError),
])
def test_bad_settings(session, settings, kind):
    (name,) = settings
    with pytest.raises(kind, match=name):
        session.generate(PROMPT, **settings)
    assert session.text(PROMPT, max_tokens=2, **GREEDY)


def test_bad_prompts(session):
    with pytest.raises(slm.ContextFullError):
        session.generate("word " * 2000)
    with pytest.raises(slm.InvalidUtf8Error) as caught:
        session.generate(b"abc\xff")
    assert caught.value.offset == 3
    with pytest.raises(IndexError) as caught:
        session.generate([1, 10**6])
    assert caught.value.offset == 1
    with pytest.raises(slm.StateError):
        session.generate([])
    assert session.text(PROMPT, max_tokens=2, **GREEDY)


# ---- sequences ----


def test_a_sequence_grows(session):
    expected = session.text(PROMPT, max_tokens=10, **GREEDY)
    with session.sequence() as sequence:
        assert len(sequence) == 0 and sequence.tokens == []
        sequence.append(PROMPT)
        n = len(sequence)
        assert sequence.n_computed == 0 and not sequence.is_generating
        text = "".join(sequence.generate(max_tokens=4, **GREEDY))
        assert len(sequence) == n + 4
        text += "".join(sequence.generate(max_tokens=6, **GREEDY))
        assert text == expected and len(sequence.tokens) == n + 10
        sequence.truncate(n)
        assert "".join(sequence.generate(max_tokens=10, **GREEDY)) == expected
        with pytest.raises(slm.OutOfRangeError):
            sequence.truncate(10**6)
        with pytest.raises(ValueError):
            sequence.truncate(-1)


def test_fork(session):
    sequence = session.sequence()
    sequence.append(PROMPT)
    expected = "".join(sequence.generate(max_tokens=10, **GREEDY))
    sequence.truncate(len(sequence) - 10)
    copy = sequence.fork()
    assert copy.tokens == sequence.tokens
    assert "".join(copy.generate(max_tokens=10, **GREEDY)) == expected
    assert "".join(sequence.generate(max_tokens=10, **GREEDY)) == expected


def test_save_and_restore(session):
    sequence = session.sequence()
    sequence.append(PROMPT)
    list(sequence.generate(max_tokens=5, **GREEDY))
    blob = sequence.save()
    expected = "".join(sequence.generate(max_tokens=10, **GREEDY))
    with session.model.session() as other:
        restored = other.restore(blob)
        assert "".join(restored.generate(max_tokens=10, **GREEDY)) == expected


def test_bad_blobs(session, tiny):
    sequence = session.sequence()
    sequence.append(PROMPT)
    list(sequence.generate(max_tokens=2, **GREEDY))
    blob = sequence.save()
    damaged = bytearray(blob)
    damaged[len(blob) // 2] ^= 1
    for bad in (b"", blob[:-1], damaged, blob + b"x"):
        with pytest.raises((slm.FormatError, slm.TruncatedError, slm.ChecksumError)):
            session.restore(bad)
    with tiny.session() as other, pytest.raises(slm.MismatchError):
        other.restore(blob)


def test_sequences_run_out(storyteller):
    with storyteller.session(n_sequences=2) as session:
        first, second = session.sequence(), session.sequence()
        with pytest.raises(slm.BudgetError):
            session.sequence()
        first.remove()
        third = session.sequence()
        with pytest.raises(slm.StaleIdError):
            first.append("x")
        with pytest.raises(LookupError):
            first.remove()
        assert second.tokens == third.tokens == []


def test_changing_a_sequence_ends_its_generation(session):
    sequence = session.sequence()
    sequence.append(PROMPT)
    generation = sequence.generate(max_tokens=50, **GREEDY)
    next(generation)
    assert sequence.is_generating
    sequence.append(" and")
    assert not sequence.is_generating
    with pytest.raises(slm.StateError):
        for _ in range(60):
            next(generation)
    assert "".join(sequence.generate(max_tokens=3, **GREEDY))


# ---- logits ----


def test_logits(tiny):
    with tiny.session(kv_type="f32") as session:
        rows = session.logits([1, 259, 260])
        assert len(rows) == 3 and all(len(row) == tiny.info.n_vocab for row in rows)
        assert rows[0].format == "f"
        assert session.logits("ab")[0] == rows[0]  # both begin with BOS
        with session.sequence() as sequence:
            assert [*sequence.logits([1]), *sequence.logits([259, 260])] == rows
            assert list(sequence.logits([])) == []
        token = next(session.generate([1, 259, 260], tokens=True, ignore_end=True, **GREEDY))
        assert token.id == max(range(len(rows[2])), key=lambda i: (rows[2][i], -i))


@given(st.lists(st.integers(0, 285), min_size=1, max_size=40), st.data())
def test_logits_do_not_depend_on_how_a_prompt_is_split(tiny, ids, data):
    cut = data.draw(st.integers(0, len(ids)))
    with tiny.session(n_threads=1, batch_tokens=data.draw(st.integers(1, 40))) as session:
        whole = session.logits(ids)
        with session.sequence() as sequence:
            assert [*sequence.logits(ids[:cut]), *sequence.logits(ids[cut:])] == whole


def test_logits_of_bad_ids(tiny):
    with tiny.session() as session:
        with pytest.raises(IndexError):
            session.logits([1, -1])
        assert len(session.logits([1])) == 1


def test_logits_do_not_mix_with_those_of_a_call_that_was_cancelled(tiny):
    with tiny.session(n_sequences=2) as session, session.sequence() as sequence:
        expected = session.logits([1, 259, 260, 261])[2:]
        session.cancel()
        with pytest.raises(slm.CancelledError):
            sequence.logits([1, 259])
        assert sequence.logits([260, 261]) == expected


# ---- errors of one sequence among several ----


def test_logits_that_are_not_finite(broken):
    with broken.session(kv_type="f32") as session:
        expected = session.logits([1, 259, 260])
        with pytest.raises(slm.NotFiniteError, match="after token 2"):
            session.logits([1, 259, 284, 260])
        assert session.logits([1, 259, 260]) == expected


@pytest.mark.parametrize("first", ["innocent", "owner"])
def test_only_its_owner_sees_that_a_generation_is_not_finite(broken, first):
    settings = {**GREEDY, "max_tokens": 8, "ignore_end": True}
    with broken.session(n_sequences=2) as session:
        expected = session.text([1, 259], **settings)
        owner = session.generate([1, 284], **settings)
        innocent = session.generate([1, 259], **settings)
        text = next(innocent) if first == "innocent" else ""
        with pytest.raises(slm.NotFiniteError):
            next(owner)
        assert owner.finish_reason == "error"
        assert text + "".join(innocent) == expected


def test_only_its_owner_sees_that_the_pool_is_used_up(tiny):
    settings = {**GREEDY, "max_tokens": 30, "ignore_end": True}
    with tiny.session(n_sequences=2, pool_tokens=128) as session:  # a page of 64 tokens for each
        expected = session.text([1, 259], **settings)
        owner = session.generate([1] + [260] * 59, tokens=True, **settings)
        innocent = session.generate([1, 259], **settings)
        assert "".join(innocent) == expected and innocent.finish_reason == "length"
        written = []
        with pytest.raises(slm.BudgetError):
            for token in owner:
                written.append(token)
        assert len(written) == owner.n_generated == 4


def test_logits_while_another_sequence_fails(broken):
    with broken.session(n_sequences=2, kv_type="f32") as session:
        expected = session.logits([1, 259])
        with session.sequence() as sequence:
            owner = session.generate([1, 284], **GREEDY)
            assert sequence.logits([1, 259]) == expected
            with pytest.raises(slm.NotFiniteError):
                next(owner)


def test_logits_that_nobody_waits_for_any_more_fail_silently(broken):
    with broken.session(n_sequences=2) as session, session.sequence() as sequence:
        expected = session.text([1, 259], max_tokens=8, ignore_end=True, **GREEDY)
        session.cancel()
        with pytest.raises(slm.CancelledError):
            sequence.logits([1, 284])
        assert session.text([1, 259], max_tokens=8, ignore_end=True, **GREEDY) == expected
        assert sequence.n_computed == 2


# ---- settings ----


def test_estimate(tiny):
    small, large = tiny.estimate(context_length=64), tiny.estimate(context_length=128)
    assert 0 < small.kv_bytes < large.kv_bytes < large.total_bytes
    assert large.n_pages == 2 * small.n_pages
    with pytest.raises(slm.BudgetError):
        tiny.session(max_memory_bytes=small.total_bytes // 2)
    tiny.session(context_length=64, max_memory_bytes=small.total_bytes).close()


@pytest.mark.parametrize("settings, kind", [
    ({"n_threads": 0}, ValueError), ({"n_threads": -1}, ValueError),
    ({"n_threads": 300}, ValueError), ({"n_threads": "two"}, TypeError),
    ({"context_length": 0}, ValueError), ({"context_length": 10**6}, ValueError),
    ({"n_sequences": 70000}, ValueError), ({"batch_tokens": 5000}, ValueError),
    ({"kv_type": "f64"}, ValueError), ({"cpu_level": "abacus"}, ValueError),
    ({"top_logprobs": 65}, ValueError), ({"top_logprobs": -1}, ValueError), ({"warmth": 1}, TypeError),
    ({"n_threads": 1.5}, TypeError), ({"kv_type": 16}, TypeError),
])
def test_bad_session_settings(tiny, settings, kind):
    (name,) = settings
    with pytest.raises(kind, match=name):
        tiny.session(**settings)
    with pytest.raises(kind, match=name):
        tiny.estimate(**settings)


def test_none_means_default(tiny):
    nothing = dict.fromkeys(slm.SessionSettings.__annotations__)
    assert tiny.estimate(**nothing) == tiny.estimate()


def test_processor_levels_agree(storyteller):
    texts = set()
    for level in ("scalar", "best"):
        with storyteller.session(cpu_level=level, n_threads=2) as session:
            texts.add(session.text(PROMPT, max_tokens=10, **GREEDY))
    assert len(texts) == 1
    other = "avx2" if slm.cpu_level().startswith("neon") else "neon"
    with pytest.raises(slm.UnsupportedError):
        storyteller.session(cpu_level=other)


def test_a_closed_session(tiny):
    session = tiny.session()
    sequence = session.sequence()
    session.close()
    for call in (session.sequence, sequence.save, lambda: session.generate("a"), lambda: len(sequence),
                 lambda: session.logits([1]), lambda: session.restore(b"")):
        with pytest.raises(slm.StateError):
            call()
    session.cancel()
