# SPDX-License-Identifier: MIT
"""Several Python threads: on sessions of their own, on one session, and cancelling."""
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import slm
from slm import _abi

GREEDY = {"temperature": 0.0}
PROMPTS = ["Once upon a time", "The dog", "Lily and Tom", "One day", "A big red ball"]


def test_sessions_side_by_side(storyteller):
    def write(prompt):
        with storyteller.session(n_threads=1) as session:
            return session.text(prompt, max_tokens=20, **GREEDY)
    expected = [write(prompt) for prompt in PROMPTS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, PROMPTS)) == expected


def test_one_session_for_all(storyteller):
    with storyteller.session(n_threads=2, n_sequences=len(PROMPTS)) as session:
        expected = [session.text(prompt, max_tokens=20, **GREEDY) for prompt in PROMPTS]
        with ThreadPoolExecutor(len(PROMPTS)) as pool:
            texts = pool.map(lambda prompt: session.text(prompt, max_tokens=20, **GREEDY), PROMPTS)
            assert list(texts) == expected


def test_one_tokenizer_for_all(storyteller):
    tokenizer = storyteller.tokenizer
    expected = [tokenizer.encode(prompt * 50) for prompt in PROMPTS]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(lambda p: tokenizer.encode(p * 50), PROMPTS)) == expected


def test_cancel_from_another_thread(storyteller):
    with storyteller.session(cpu_level="scalar", n_threads=1) as session:
        generation = session.generate("Once", ignore_end=True)
        started = threading.Event()

        def stop():
            started.wait(10)
            session.cancel()
        thread = threading.Thread(target=stop)
        thread.start()
        begin = time.monotonic()
        for _ in generation:
            started.set()
        thread.join()
        assert generation.finish_reason in ("cancelled", "context")
        assert time.monotonic() - begin < 30


def test_the_interpreter_runs_while_a_step_does(storyteller):
    """One C call, and another thread's Python code goes on during it."""
    counted, running = [0], threading.Event()

    def count():
        while running.is_set():
            counted[0] += 1
    with storyteller.session(cpu_level="scalar", n_threads=1, batch_tokens=512) as session:
        sequence = session.sequence()
        sequence.append("word " * 100)
        handle, step = session._use(), getattr(_abi.library, "slm_session_step")
        running.set()
        thread = threading.Thread(target=count)
        thread.start()
        begin, before = time.perf_counter(), counted[0]
        status = step(handle, 0, None)
        after, took = counted[0], time.perf_counter() - begin
        running.clear()
        thread.join()
    assert status == _abi.OK and took > 0.02
    assert after - before > 1000


# ---- misuse: exceptions, no crashes ----


def hammer(calls, seconds=0.5, half_way=None):
    """Each call again and again on a thread of its own, and on this thread half way through something
    once; returns what the calls raised."""
    problems, running = [], threading.Event()
    running.set()

    def repeat(call):
        while running.is_set():
            try:
                call()
            except Exception as problem:
                problems.append(problem)
                time.sleep(0.001)
    threads = [threading.Thread(target=repeat, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 2)
    if half_way is not None:
        half_way()
    time.sleep(seconds / 2)
    running.clear()
    for thread in threads:
        thread.join()
    return problems


def test_everything_at_once_on_one_session(tiny):
    with tiny.session(n_threads=2, n_sequences=8, context_length=64) as session:
        expected = session.text([1, 259], max_tokens=5, ignore_end=True, **GREEDY)
        shared = session.sequence()

        def append():
            shared.append([260])
            if len(shared) > 40:
                shared.truncate(3)

        def generate():
            assert session.text([1, 259], max_tokens=5, ignore_end=True, **GREEDY) == expected

        def leave():
            next(session.generate([1, 259, 261], max_tokens=5, ignore_end=True))

        def fork():
            with shared.fork() as copy:
                copy.tokens, copy.n_computed, copy.priority
        problems = hammer([append, generate, generate, leave, fork,
                           lambda: session.logits([1, 2, 3]), lambda: shared.is_generating])
        assert problems == []


def test_closing_a_session_that_others_use(tiny):
    for _ in range(8):
        session = tiny.session(n_threads=1, n_sequences=4, context_length=64)
        sequence = session.sequence()
        problems = hammer([lambda: session.text([1, 259], max_tokens=3), session.cancel,
                           sequence.cancel, lambda: sequence.tokens], 0.04, session.close)
        assert slm.StateError in {type(problem) for problem in problems} <= {
            slm.StateError, slm.CancelledError}
        session.cancel()
        sequence.cancel()


def test_closing_a_model_that_others_use(tiny_bytes):
    for _ in range(8):
        model = slm.Model(tiny_bytes, n_threads=1)
        problems = hammer([lambda: model.info, lambda: model.metadata, lambda: model.tensors,
                           lambda: model.tokenizer.encode("hello"),
                           lambda: model.session(context_length=8)], 0.04, model.close)
        assert {type(problem) for problem in problems} == {slm.StateError}


def test_one_sampler_for_all():
    sampler = slm.Sampler(50, seed=3, temperature=1.0)
    logits = [0.1 * (i % 7) for i in range(50)]
    expected = sampler.sample(logits, draw=5)

    def draw():
        assert sampler.sample(logits, draw=5) == expected

    def change():
        sampler.set("penalty_last_n", 5)
    assert hammer([draw, draw, change, lambda: sampler.top(logits, 7), lambda: repr(sampler)]) == []


@pytest.mark.parametrize("milliseconds", [0.3, 1, 2, 3, 5, 8])
def test_an_interrupt_leaves_a_session_that_works(storyteller, milliseconds):
    """As by Ctrl-C: an exception out of a signal handler, between any two instructions."""
    class Interrupt(BaseException):
        pass

    def handler(*_):
        raise Interrupt
    with storyteller.session(n_threads=1, n_sequences=2) as session:
        expected = session.text(PROMPTS[0], max_tokens=5, **GREEDY)
        before = signal.signal(signal.SIGALRM, handler)
        try:
            with pytest.raises(Interrupt):
                signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
                while True:
                    session.text(PROMPTS[1], max_tokens=100, ignore_end=True, **GREEDY)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert session.text(PROMPTS[0], max_tokens=5, **GREEDY) == expected


def test_load_in_threads(tiny_bytes):
    with ThreadPoolExecutor(4) as pool:
        infos = list(pool.map(lambda _: slm.Model(tiny_bytes, n_threads=1).info, range(8)))
    assert len(set(infos)) == 1
