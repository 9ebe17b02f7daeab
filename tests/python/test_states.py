# SPDX-License-Identifier: MIT
"""Random sequences of calls on a session, against lists of tokens and a session that does one thing."""
import functools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

import slm

CONTEXT = 96
GREEDY = {"temperature": 0.0, "ignore_end": True}
tokens = st.lists(st.integers(0, 285), max_size=40)


class Text:
    """A sequence and the tokens that it must have."""

    def __init__(self, sequence, ids=()):
        self.sequence, self.ids = sequence, list(ids)
        self.is_exact = True  # its cache is that of a sequence that was written so from the start


class Calls(RuleBasedStateMachine):
    model = None  # set by the test

    def __init__(self):
        super().__init__()
        self.session = self.model.session(n_threads=1, n_sequences=3, context_length=CONTEXT)
        self.alone = self.model.session(n_threads=1, context_length=CONTEXT)
        self.texts = []

    texts_made = Bundle("texts")
    blobs = Bundle("blobs")

    def expected(self, ids, n):
        with self.alone.sequence() as sequence:
            sequence.append(ids)
            return [token.id for token in sequence.generate(tokens=True, max_tokens=n, **GREEDY)]

    def keep(self, text):
        self.texts.append(text)
        return text

    def drop(self, text):
        self.texts = [other for other in self.texts if other is not text]

    def when_there_is_room(self, make):
        """A fourth sequence is refused, and nothing happens."""
        if len(self.texts) < 3:
            return make()
        with pytest.raises(slm.BudgetError):
            make()
        return None

    @rule(target=texts_made)
    def add(self):
        sequence = self.when_there_is_room(self.session.sequence)
        return self.keep(Text(sequence)) if sequence is not None else Text(None)

    @rule(target=texts_made, text=texts_made)
    def fork(self, text):
        if text not in self.texts:
            return Text(None)
        sequence = self.when_there_is_room(text.sequence.fork)
        if sequence is None:
            return Text(None)
        copy = self.keep(Text(sequence, text.ids))
        copy.is_exact = text.is_exact
        return copy

    @rule(text=texts_made, ids=tokens)
    def append(self, text, ids):
        if text not in self.texts:
            return
        if len(text.ids) + len(ids) > CONTEXT:
            with pytest.raises(slm.ContextFullError):
                text.sequence.append(ids)
        else:
            text.sequence.append(ids)
            text.ids += ids

    @rule(text=texts_made, n=st.integers(0, CONTEXT + 1))
    def truncate(self, text, n):
        if text not in self.texts:
            return
        if n > len(text.ids):
            with pytest.raises(slm.OutOfRangeError):
                text.sequence.truncate(n)
        else:
            text.sequence.truncate(n)
            del text.ids[n:]

    @rule(text=texts_made, first=st.integers(0, CONTEXT), n=st.integers(0, 40), ids=tokens,
          shift=st.booleans())
    def replace(self, text, first, n, ids, shift):
        if text not in self.texts:
            return
        ids = [] if shift else ids
        if first + n > len(text.ids):
            with pytest.raises(slm.OutOfRangeError):
                text.sequence.replace(first, n, ids, shift=shift)
        elif len(text.ids) - n + len(ids) > CONTEXT:
            with pytest.raises(slm.ContextFullError):
                text.sequence.replace(first, n, ids, shift=shift)
        else:
            text.sequence.replace(first, n, ids, shift=shift)
            text.ids[first : first + n] = ids
            text.is_exact = text.is_exact and not (shift and n > 0)

    @rule(text=texts_made, n=st.integers(1, 12), n_read=st.integers(0, 12))
    def generate(self, text, n, n_read):
        """Reads some of it, and lets go of the rest."""
        if text not in self.texts:
            return
        if len(text.ids) in (0, CONTEXT):
            with pytest.raises(slm.StateError if not text.ids else slm.ContextFullError):
                text.sequence.generate(max_tokens=n, **GREEDY)
            return
        generation = text.sequence.generate(tokens=True, max_tokens=n, **GREEDY)
        written = [token.id for _, token in zip(range(n_read), generation)]
        if len(written) < n_read:
            assert generation.finish_reason in ("length", "context")
        generation.close()
        if text.is_exact:
            assert written == self.expected(text.ids, n)[: len(written)]
        text.ids += written
        assert text.sequence.tokens[: len(text.ids)] == text.ids
        text.ids = text.sequence.tokens  # a step may have written one more than was read

    @rule(text=texts_made)
    def compute(self, text):
        if text in self.texts:
            text.sequence.compute()
            assert text.sequence.n_computed == len(text.ids)

    @rule(text=texts_made, ids=tokens)
    def logits(self, text, ids):
        if text not in self.texts or len(text.ids) + len(ids) > CONTEXT:
            return
        rows = text.sequence.logits(ids)
        if text.is_exact and ids:
            assert rows == self.alone.logits(text.ids + ids)[-len(ids):]
        text.ids += ids

    @rule(target=blobs, text=texts_made, form=st.sampled_from(["cache", "tokens"]))
    def save(self, text, form):
        if text not in self.texts:
            return None
        return text.sequence.save(form=form), list(text.ids), text.is_exact or form == "tokens"

    @rule(target=texts_made, blob=blobs)
    def restore(self, blob):
        if blob is None:
            return Text(None)
        sequence = self.when_there_is_room(functools.partial(self.session.restore, blob[0]))
        if sequence is None:
            return Text(None)
        text = self.keep(Text(sequence, blob[1]))
        text.is_exact = blob[2]
        return text

    @rule(text=consumes(texts_made))
    def remove(self, text):
        if text in self.texts:
            text.sequence.remove()
            self.drop(text)
            with pytest.raises(slm.StaleIdError):
                text.sequence.append([1])

    @rule(text=consumes(texts_made))
    def forget(self, text):
        """Nobody refers to it any more, so its place is free."""
        if text in self.texts:
            self.drop(text)
            text.sequence = None

    @rule(text=texts_made)
    def cancel(self, text):
        if text in self.texts:
            text.sequence.cancel()  # it does not generate: nothing happens

    @invariant()
    def tokens_are_as_expected(self):
        for text in self.texts:
            assert text.sequence.tokens == text.ids and len(text.sequence) == len(text.ids)

    def teardown(self):
        self.session.close()
        self.alone.close()


def test_random_calls(tiny):
    Calls.model = tiny
    case = Calls.TestCase()
    case.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, database=None)
    case.runTest()
