# SPDX-License-Identifier: MIT
"""Several Python threads: on sessions of their own, on one session, and cancelling."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import slm

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
    """The calls let other Python threads run."""
    with storyteller.session(cpu_level="scalar", n_threads=1) as session:
        ticks, running = [], threading.Event()
        running.set()

        def tick():
            while running.is_set():
                ticks.append(time.monotonic())
                time.sleep(0.0005)
        thread = threading.Thread(target=tick)
        thread.start()
        session.text("word " * 300, max_tokens=1)
        running.clear()
        thread.join()
        assert len(ticks) > 3


def test_load_in_threads(tiny_bytes):
    with ThreadPoolExecutor(4) as pool:
        infos = list(pool.map(lambda _: slm.Model(tiny_bytes, n_threads=1).info, range(8)))
    assert len(set(infos)) == 1
