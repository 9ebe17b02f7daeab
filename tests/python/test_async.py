# SPDX-License-Identifier: MIT
"""Coroutines: streaming, many generations at once, cancellation, and a loop that never waits."""
import asyncio
import gc
import threading
import time

import pytest

import slm

GREEDY = {"temperature": 0.0}
LONG = {"temperature": 0.0, "ignore_end": True}
PROMPTS = ["Once upon a time", "The dog", "Lily and Tom", "One day", "A big red ball", "Mom"]


@pytest.fixture()
def session(storyteller):
    with storyteller.session(n_threads=1, n_sequences=len(PROMPTS), top_logprobs=2) as made:
        yield made


def counting_steps(session):
    """Has the steps of a session counted; returns the list that grows with each."""
    steps, step = [], session._step

    def counted():
        steps.append(threading.get_ident())
        return step()
    session._step = counted
    return steps


async def collect(generation):
    return [piece async for piece in generation]


# ---- streaming ----


def test_pieces_are_those_of_the_plain_iterator(session):
    expected = list(session.generate(PROMPTS[0], max_tokens=20, **GREEDY))

    async def main():
        generation = session.agenerate(PROMPTS[0], max_tokens=20, **GREEDY)
        assert generation.finish_reason is None and "open" in repr(generation)
        assert await collect(generation) == expected
        assert (generation.finish_reason, generation.n_generated) == ("length", 20)
        assert await session.atext(PROMPTS[0], max_tokens=20, **GREEDY) == "".join(expected)
        tokens = await collect(session.agenerate(PROMPTS[0], tokens=True, n_top=2, max_tokens=20,
                                                 **GREEDY))
        assert "".join(token.text for token in tokens) == "".join(expected)
        assert all(token.top[0] == (token.id, token.logprob) for token in tokens)
        with pytest.raises(StopAsyncIteration):
            await generation.__anext__()
    asyncio.run(main())


def test_a_sequence_streams_too(session):
    expected = session.text(PROMPTS[1], max_tokens=12, **GREEDY)

    async def main():
        sequence = await session.arun(session.sequence)
        await session.arun(sequence.append, PROMPTS[1])
        pieces = await collect(sequence.agenerate(max_tokens=5, **GREEDY))
        pieces += await collect(sequence.agenerate(max_tokens=7, **GREEDY))
        assert "".join(pieces) == expected
    asyncio.run(main())


def test_generations_of_a_session_are_computed_together(session):
    alone = [session.text(prompt, max_tokens=25, **LONG) for prompt in PROMPTS]
    steps = counting_steps(session)

    async def main():
        return await asyncio.gather(*[session.atext(prompt, max_tokens=25, **LONG)
                                      for prompt in PROMPTS])
    assert asyncio.run(main()) == alone
    assert 25 <= len(steps) <= 40  # one after the other they would be 150
    assert set(steps).isdisjoint({threading.get_ident()})


def test_more_generations_than_sequences_wait_for_their_turn(storyteller):
    prompts = PROMPTS * 3
    with storyteller.session(n_threads=1, n_sequences=3) as session:
        alone = [session.text(prompt, max_tokens=8, **LONG) for prompt in prompts]

        async def main():
            return await asyncio.gather(*[session.atext(prompt, max_tokens=8, **LONG)
                                          for prompt in prompts])
        assert asyncio.run(main()) == alone


def test_without_hope_of_a_sequence_nobody_waits(storyteller):
    with storyteller.session() as session:
        held = session.sequence()
        with pytest.raises(slm.BudgetError):
            asyncio.run(session.atext(PROMPTS[0], max_tokens=3))
        held.remove()
        assert asyncio.run(session.atext(PROMPTS[0], max_tokens=3, **LONG))


def test_plain_and_async_side_by_side(session):
    alone = [session.text(prompt, max_tokens=20, **LONG) for prompt in PROMPTS[:2]]

    async def main():
        plain = asyncio.get_running_loop().run_in_executor(
            None, lambda: session.text(PROMPTS[0], max_tokens=20, **LONG))
        return [await plain, await session.atext(PROMPTS[1], max_tokens=20, **LONG)]
    assert asyncio.run(main()) == alone


def test_two_loops_share_a_session(session):
    alone = [session.text(prompt, max_tokens=15, **LONG) for prompt in PROMPTS[:4]]
    results = {}

    def run(name, prompts):
        async def main():
            return await asyncio.gather(*[session.atext(p, max_tokens=15, **LONG) for p in prompts])
        results[name] = asyncio.run(main())
    threads = [threading.Thread(target=run, args=(i, PROMPTS[2 * i : 2 * i + 2])) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results[0] + results[1] == alone


# ---- cancellation ----


def test_cancelling_a_task_ends_its_generation_alone(session):
    alone = session.text(PROMPTS[1], max_tokens=60, **LONG)

    async def main():
        n_pieces = 0

        async def victim():
            nonlocal n_pieces
            async for _ in session.agenerate(PROMPTS[0], max_tokens=400, **LONG):
                n_pieces += 1
        task = asyncio.ensure_future(victim())
        other = asyncio.ensure_future(session.atext(PROMPTS[1], max_tokens=60, **LONG))
        while n_pieces < 5:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await other == alone
        assert n_pieces < 300
        # Its sequence is free again.
        texts = await asyncio.gather(*[session.atext(p, max_tokens=2, **LONG) for p in PROMPTS])
        assert all(texts)
    asyncio.run(main())


def test_cancel_of_one_generation(session):
    async def main():
        first = session.agenerate(PROMPTS[0], max_tokens=400, **LONG)
        second = session.agenerate(PROMPTS[1], max_tokens=30, **LONG)
        await first.__anext__()
        rest = asyncio.ensure_future(collect(second))
        await asyncio.sleep(0)
        first.cancel()
        await collect(first)
        await rest
        assert first.finish_reason == "cancelled" and second.finish_reason == "length"
        never = session.agenerate(PROMPTS[0])
        never.cancel()
        assert await collect(never) == []
    asyncio.run(main())


def test_a_generation_that_is_left_gives_its_sequence_back(storyteller):
    async def main():
        with storyteller.session(n_threads=1) as session:  # room for one sequence
            async for _ in session.agenerate(PROMPTS[0], max_tokens=50):
                break
            gc.collect()
            async with session.agenerate(PROMPTS[0], max_tokens=50) as generation:
                await generation.__anext__()
            closed = session.agenerate(PROMPTS[0], max_tokens=50)
            await closed.__anext__()
            await closed.aclose()
            assert await collect(closed) == []
            assert await session.atext(PROMPTS[0], max_tokens=2, **LONG)
    asyncio.run(main())


def test_a_timeout(session):
    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(endless(), 0.05)
        assert await session.atext(PROMPTS[0], max_tokens=2, **LONG)

    async def endless():
        while True:
            await session.atext(PROMPTS[0], max_tokens=300, **LONG)
    asyncio.run(main())


def test_one_task_at_a_time_waits_for_a_generation(session):
    async def main():
        generation = session.agenerate(PROMPTS[0], max_tokens=50, **LONG)
        results = await asyncio.gather(generation.__anext__(), generation.__anext__(),
                                       return_exceptions=True)
        assert isinstance(results[0], str) and isinstance(results[1], slm.BusyError)
        await collect(generation)
        assert generation.finish_reason == "length"
    asyncio.run(main())


# ---- errors ----


def test_errors_come_to_the_task_that_they_concern(broken):
    settings = {**LONG, "max_tokens": 8}
    with broken.session(n_sequences=2) as session:
        expected = session.text([1, 259], **settings)

        async def main():
            return await asyncio.gather(session.atext([1, 284], **settings),
                                        session.atext([1, 259], **settings),
                                        return_exceptions=True)
        error, text = asyncio.run(main())
        assert isinstance(error, slm.NotFiniteError) and text == expected


def test_bad_settings_are_told_at_once(session):
    for settings, kind in (({"temperature": "hot"}, TypeError), ({"warmth": 1}, TypeError),
                           ({"max_tokens": 0}, ValueError)):
        with pytest.raises(kind):
            session.agenerate(PROMPTS[0], **settings)

    async def main():
        with pytest.raises(slm.ContextFullError):
            await session.atext("word " * 2000)
        with pytest.raises(slm.InvalidUtf8Error) as caught:
            await session.atext(b"abc\xff")
        assert caught.value.offset == 3
        with pytest.raises(ZeroDivisionError):
            await session.arun(lambda: 1 // 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await session.arun(next, iter(()))
    asyncio.run(main())


def test_a_sequence_that_is_changed_meanwhile(session):
    async def main():
        sequence = session.sequence()
        sequence.append(PROMPTS[0])
        generation = sequence.agenerate(max_tokens=50, **LONG)
        await generation.__anext__()
        await session.arun(sequence.append, " and")
        with pytest.raises(slm.StateError, match="changed"):
            await collect(generation)
    asyncio.run(main())


# ---- the loop, and the end ----


def test_the_loop_never_waits(storyteller):
    """While a long prompt is computed in plain C, other coroutines run."""
    with storyteller.session(cpu_level="scalar", n_threads=1, batch_tokens=512) as session:
        prompt = "word " * 100
        begin = time.perf_counter()
        session.text(prompt, max_tokens=1)
        alone = time.perf_counter() - begin

        async def main():
            task = asyncio.ensure_future(session.atext(prompt, max_tokens=1))
            gaps, last = [], time.perf_counter()
            while not task.done():
                await asyncio.sleep(0.001)
                now = time.perf_counter()
                gaps.append(now - last)
                last = now
            await task
            return gaps
        gaps = asyncio.run(main())
        assert alone > 0.05 and len(gaps) >= 10
        assert sorted(gaps)[len(gaps) // 2] < alone / 5


def test_aclose_ends_what_is_going_on(storyteller):
    async def main():
        async with storyteller.session(n_threads=1, n_sequences=2) as session:
            tasks = [asyncio.ensure_future(session.atext(prompt, max_tokens=400, **LONG))
                     for prompt in PROMPTS[:2]]
            await asyncio.sleep(0.02)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            assert isinstance(result, (str, slm.StateError))
        with pytest.raises(slm.StateError):
            await session.atext(PROMPTS[0])
        await session.aclose()
    asyncio.run(main())


def lane_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("slm")]


def wait_for_no_thread():
    deadline = time.monotonic() + 10
    while lane_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not lane_threads()


def test_no_thread_is_left(storyteller):
    wait_for_no_thread()

    async def main():
        async with storyteller.session(n_threads=1) as session:
            await session.atext(PROMPTS[0], max_tokens=3, **LONG)
            assert len(lane_threads()) == 1
    asyncio.run(main())
    wait_for_no_thread()
    session = storyteller.session(n_threads=1)
    asyncio.run(session.atext(PROMPTS[0], max_tokens=3, **LONG))
    assert len(lane_threads()) == 1
    del session  # without being closed
    gc.collect()
    wait_for_no_thread()


def test_a_loop_that_ends_in_the_middle_of_a_step(storyteller, caplog):
    """asyncio.run() cancels what is left; the step ends later, on its thread, and disturbs nobody."""
    with storyteller.session(cpu_level="scalar", n_threads=1) as session:
        async def main():
            task = asyncio.ensure_future(session.atext("word " * 150, max_tokens=50, **LONG))
            await asyncio.sleep(0.01)
            assert not task.done()
        asyncio.run(main())
        assert asyncio.run(session.atext(PROMPTS[0], max_tokens=2, **LONG))
    assert not caplog.records
