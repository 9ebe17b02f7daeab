# SPDX-License-Identifier: MIT
"""Settings of sequences, full contexts, prefixes, and saving."""
import asyncio
import gc

import pytest

import slm

GREEDY = {"temperature": 0.0, "ignore_end": True}
START = [1, 259, 260, 261]


@pytest.fixture()
def session(tiny):
    with tiny.session(n_threads=1, n_sequences=4, context_length=128) as made:
        yield made


def write(sequence, n, **settings):
    return [token.id for token in sequence.generate(tokens=True, max_tokens=n, **GREEDY, **settings)]


# ---- settings ----


def test_settings_are_attributes(session):
    sequence = session.sequence()
    defaults = {"priority": 0, "full": "end", "keep": 4, "drop": 0, "window": 0, "sinks": 64}
    assert {name: getattr(sequence, name) for name in defaults} == defaults
    settings = {"priority": 7, "full": "shift", "keep": 8, "drop": 64, "window": 64, "sinks": 0}
    other = session.sequence(**settings)
    assert {name: getattr(other, name) for name in settings} == settings
    for name, value in settings.items():
        setattr(sequence, name, value)
    copy = sequence.fork()
    assert {name: getattr(copy, name) for name in settings} == settings
    assert "larger" in slm.Sequence.priority.__doc__.lower()


@pytest.mark.parametrize("name, value, kind", [
    ("priority", 256, slm.OutOfRangeError), ("priority", -1, ValueError), ("priority", "high", TypeError),
    ("full", "spill", ValueError), ("full", 1, TypeError), ("window", 1.5, TypeError),
    ("warmth", 1, TypeError),
])
def test_bad_settings(session, name, value, kind):
    for _ in range(10):  # no sequence is lost by it
        with pytest.raises(kind, match=name):
            session.sequence(**{name: value})
    if name != "warmth":
        with pytest.raises(kind, match=name):
            setattr(session.sequence(), name, value)


def test_a_window_is_set_before_anything_is_computed(session):
    sequence = session.sequence(window=64)
    sequence.append(START)
    sequence.compute()
    with pytest.raises(slm.StateError):
        sequence.window = 0
    sequence.remove()
    with pytest.raises(slm.StaleIdError):
        sequence.window
    assert "removed" in repr(sequence)


def test_compute(session):
    sequence = session.sequence()
    sequence.append(START)
    assert sequence.n_computed == 0
    sequence.compute()
    sequence.compute()
    assert sequence.n_computed == len(sequence) == 4 and sequence.n_pages == 1


# ---- full contexts ----


def test_old_tokens_are_shifted_out(session):
    sequence = session.sequence(full="shift", keep=4)
    sequence.append(START)
    generation = sequence.generate(tokens=True, max_tokens=300, **GREEDY)
    assert len(list(generation)) == 300 and generation.finish_reason == "length"
    assert generation.n_dropped >= 300 + 4 - 128
    assert len(sequence) == 304 - generation.n_dropped <= 128
    assert sequence.tokens[:4] == START
    generation = session.generate(START, full="shift", max_tokens=300, **GREEDY)
    assert list(generation) and generation.n_dropped > 0


def test_a_full_context_asks_for_room(session):
    sequence, asked = session.sequence(full="wait"), []
    sequence.append(START)

    def on_full(which):
        assert which is sequence and len(which) == 128
        asked.append(which.tokens)
        which.replace(4, 64, shift=True)
    generation = sequence.generate(tokens=True, max_tokens=200, on_full=on_full, **GREEDY)
    written = [token.id for token in generation]
    assert len(written) == 200 and generation.finish_reason == "length" and len(asked) == 2
    assert asked[0] == START + written[:124]


def test_without_a_function_it_is_an_exception_and_goes_on(session):
    sequence = session.sequence(full="wait")
    sequence.append(START)
    generation, pieces = sequence.generate(tokens=True, max_tokens=150, **GREEDY), []
    for _ in range(2):
        with pytest.raises(slm.ContextFullError):
            for token in generation:
                pieces.append(token)
        assert len(pieces) == 124 and generation.finish_reason is None and sequence.is_generating
    sequence.replace(4, 64)
    pieces.extend(generation)
    assert len(pieces) == 150 and generation.finish_reason == "length"


def test_a_function_that_makes_no_room(session):
    calls = []
    generation = session.generate(START, full="wait", on_full=calls.append, **GREEDY)
    with pytest.raises(slm.ContextFullError):
        list(generation)
    assert len(calls) == 1

    def fail(_):
        raise ZeroDivisionError
    generation = session.generate(START, full="wait", on_full=fail, **GREEDY)
    with pytest.raises(ZeroDivisionError):
        list(generation)
    assert list(generation) == []


def test_a_coroutine_makes_room(session):
    plain = session.generate(START, full="wait", max_tokens=150, tokens=True,
                             on_full=lambda sequence: sequence.replace(4, 64), **GREEDY)
    expected = [token.id for token in plain]

    async def main():
        async def wait(sequence):
            await asyncio.sleep(0)
            await session.arun(sequence.replace, 4, 64)

        def do(sequence):
            sequence.replace(4, 64)

        async def write(on_full):
            return [token.id async for token in session.agenerate(
                START, full="wait", max_tokens=150, tokens=True, on_full=on_full, **GREEDY)]
        assert await asyncio.gather(write(wait), write(do)) == [expected, expected]
        waiting = session.agenerate(START, full="wait", max_tokens=150, **GREEDY)
        for _ in range(2):
            with pytest.raises(slm.ContextFullError):
                async for _ in waiting:
                    pass
        await waiting.aclose()
    asyncio.run(main())


# ---- replacing ----


def test_replaced_tokens_leave_no_trace(session):
    sequence = session.sequence()
    sequence.append(START + [270] * 40)
    sequence.compute()
    sequence.replace(4, 38, [263, 264])
    expected = session.sequence()
    expected.append(START + [263, 264, 270, 270])
    assert sequence.tokens == expected.tokens
    assert write(sequence, 20) == write(expected, 20)


def test_a_text_in_the_place_of_tokens(session):
    sequence = session.sequence()
    sequence.append(START)
    sequence.replace(1, 3, "ab")
    assert sequence.tokens == [1, *session.model.tokenizer.encode("ab")]
    sequence.replace(1, 1)
    assert sequence.tokens == [1, 259, 260]


@pytest.mark.parametrize("arguments, kind", [
    ((0, 5), slm.OutOfRangeError), ((5, 0), slm.OutOfRangeError), ((-1, 0), ValueError),
    ((0, 1, [286]), slm.OutOfRangeError), ((0, 0, [1] * 200), slm.ContextFullError),
    (("a", 0), TypeError),
])
def test_bad_replacements(session, arguments, kind):
    sequence = session.sequence()
    sequence.append(START)
    with pytest.raises(kind):
        sequence.replace(*arguments)
    assert sequence.tokens == START


def test_a_generation_goes_on_after_a_replacement(session):
    sequence = session.sequence()
    sequence.append(START)
    generation = sequence.generate(tokens=True, max_tokens=20, **GREEDY)
    first = [next(generation).id for _ in range(5)]
    sequence.replace(1, 1, shift=True)
    rest = [token.id for token in generation]
    assert len(first + rest) == 20 and sequence.tokens == [1, 260, 261, *first, *rest]


# ---- cancelling one ----


def test_cancelling_one_sequence(session):
    expected = session.text(START, max_tokens=20, **GREEDY)
    first, second = (session.generate(START, max_tokens=20, **GREEDY) for _ in range(2))
    text = next(second)
    first.cancel()
    assert text + "".join(second) == expected and second.finish_reason == "length"
    assert len("".join(first)) < len(expected) and first.finish_reason == "cancelled"
    first.cancel()  # over: nothing happens
    sequence = session.sequence()
    sequence.append(START)
    old = sequence.generate(max_tokens=20, **GREEDY)
    new = sequence.generate(max_tokens=20, **GREEDY)
    old.cancel()  # its sequence writes something else by now
    assert "".join(new) == expected


# ---- prefixes ----


def test_many_sequences_begin_with_a_prefix(session):
    alone = session.sequence()
    alone.append("once there was a dog", add_special=True)
    text = alone.tokens
    expected = write(alone, 12)
    with session.prefix("once there was a dog", "dogs") as prefix:
        assert (prefix.name, prefix.tokens, len(prefix)) == ("dogs", text, len(text))
        assert prefix.kv_type == "f16" and prefix.memory_bytes > 0
        assert "'dogs'" in repr(prefix) and "f16" in repr(prefix)
        first, second = session.sequence(prefix=prefix), session.sequence()
        second.append_prefix(prefix)
        assert first.tokens == second.tokens == text and first.n_computed == len(text)
        assert first.n_prefix_tokens == len(text)
        own = session.generate([], prefix=prefix, tokens=True, max_tokens=12, **GREEDY)
        assert [token.id for token in own] == expected
    assert repr(prefix) == "<slm.Prefix, closed>"
    with pytest.raises(slm.StateError):
        session.sequence(prefix=prefix)
    del prefix
    gc.collect()
    assert write(first, 12) == write(second, 12) == expected  # they keep what they use


def test_a_prompt_after_a_prefix(session):
    prefix = session.prefix("abc", "letters")
    expected = session.sequence()
    expected.append("abc")
    expected.append("def")
    sequence = session.sequence(prefix=prefix)
    sequence.append("def")
    assert sequence.tokens == expected.tokens
    assert session.text("def", prefix=prefix, max_tokens=9, **GREEDY) == "".join(
        expected.generate(max_tokens=9, **GREEDY))
    assert asyncio.run(session.atext("def", prefix=prefix, max_tokens=9, **GREEDY)) == session.text(
        "def", prefix=prefix, max_tokens=9, **GREEDY)


def test_bad_prefixes(session, tiny, storyteller):
    sequence = session.sequence()
    with pytest.raises(slm.StateError):
        sequence.prefix("empty")
    sequence.append(START)
    for name, kind in (("", ValueError), ("x" * 64, ValueError), ("a\0b", ValueError), (5, TypeError),
                       (b"\xff", slm.InvalidUtf8Error)):
        with pytest.raises(kind):
            sequence.prefix(name)
    prefix = sequence.prefix("x" * 63)
    assert prefix.name == "x" * 63
    with pytest.raises(slm.StateError):
        sequence.append_prefix(prefix)  # it is not empty
    with pytest.raises(TypeError, match="prefix"):
        session.sequence(prefix="letters")
    with tiny.session(kv_type="f32") as other, pytest.raises(slm.MismatchError):
        other.sequence(prefix=prefix)
    with storyteller.session() as other, pytest.raises(slm.MismatchError):
        other.sequence(prefix=prefix)
    with tiny.session() as other:
        assert other.sequence(prefix=prefix).tokens == START


# ---- saving ----


@pytest.mark.parametrize("form", ["cache", "q8", "q4", "tokens"])
def test_forms(session, tiny, form):
    sequence = session.sequence(priority=3)
    sequence.append(START)
    written = write(sequence, 20)
    blob = sequence.save(form=form)
    info = slm.saved_info(blob)
    assert info.n_tokens == 24 and info.prefix is None and info.n_prefix_tokens == 0
    assert (info.kv_type is None) == (form == "tokens") == (info.n_cached == 0)
    with tiny.session(n_threads=1, context_length=128) as other:
        restored = other.restore(bytearray(blob))
        assert restored.tokens == START + written and restored.priority == 3
        if form in ("cache", "tokens"):  # the others round
            assert write(restored, 10) == write(sequence, 10)
        else:
            assert len(write(restored, 10)) == 10


def test_sizes(session):
    sequence = session.sequence()
    sequence.append(START * 20)
    sequence.compute()
    sizes = [len(sequence.save(form=form)) for form in ("cache", "q8", "q4", "tokens")]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 4 * sizes[3]
    with pytest.raises(ValueError, match="form"):
        sequence.save(form="zip")
    with pytest.raises(TypeError, match="form"):
        sequence.save(form=2)


def test_saving_relative_to_a_prefix(session):
    prefix, other = session.prefix(START * 20, "persona"), session.prefix(START * 21, "persona")
    sequence = session.sequence(prefix=prefix)
    sequence.append([262, 263])
    write(sequence, 5)
    small, large = sequence.save(), sequence.save(whole=True)
    assert len(small) < len(large) / 3
    info = slm.saved_info(memoryview(small))
    assert (info.prefix, info.n_prefix_tokens, info.n_tokens) == ("persona", 80, 87)
    assert info.model == slm.saved_info(large).model and slm.saved_info(large).prefix is None
    expected = write(sequence, 10)
    sequence.remove()
    for blob, using in ((small, prefix), (large, None)):
        with session.restore(blob, prefix=using) as restored:
            assert write(restored, 10) == expected
    for wrong in (None, other):
        with pytest.raises(slm.MismatchError):
            session.restore(small, prefix=wrong)
    with pytest.raises(TypeError, match="prefix"):
        session.restore(small, prefix="persona")


def test_saved_info_of_damaged_blobs(session):
    sequence = session.sequence()
    sequence.append(START)
    blob = sequence.save()
    for bad in (b"", b"xxxx" + blob[4:], blob[:-1], blob[:-1] + bytes([blob[-1] ^ 1])):
        with pytest.raises((slm.FormatError, slm.TruncatedError, slm.ChecksumError)) as caught:
            slm.saved_info(bad)
        assert caught.value.offset is not None
    with pytest.raises(TypeError):
        slm.saved_info("text")


# ---- guesses ----


def begin(session):
    sequence = session.sequence()
    sequence.append(START)
    return sequence


def test_guesses_change_nothing(tiny):
    with tiny.session(n_threads=1, context_length=128) as plain:
        expected = write(begin(plain), 100)
    for settings in ({"method": "lookup", "least_match": 1}, {"method": "draft", "most_tokens": 3}, {}):
        with tiny.session(n_threads=1, context_length=128, n_guesses=8, draft_model=tiny) as session:
            sequence = begin(session)
            assert sequence.speculation == slm.Speculation(False, 0, 0, 0, 0, 0)
            sequence.speculate(always=bool(settings), **settings)
            assert write(sequence, 100) == expected
            told = sequence.speculation
            assert told.n_tokens == 100 and told.n_accepted <= told.n_guessed
            assert told.n_accepted > 70 or settings.get("method") != "draft"
    assert slm.Session(tiny, n_guesses=None).sequence()


def test_guesses_that_cannot_be(tiny, session):
    with pytest.raises(slm.StateError):
        session.sequence().speculate()
    with pytest.raises(TypeError):
        tiny.session(n_guesses=3, draft_model="small")
    with pytest.raises(slm.InvalidArgumentError):
        tiny.session(draft_model=tiny)
    with tiny.session(n_threads=1, n_guesses=4) as guessing:
        with pytest.raises(slm.StateError):
            guessing.sequence().speculate("draft")
        with pytest.raises(slm.InvalidArgumentError):
            guessing.sequence().speculate("magic")
