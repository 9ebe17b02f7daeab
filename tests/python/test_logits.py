# SPDX-License-Identifier: MIT
"""Logits as buffers: shared with NumPy where it is, and never a pointer that lasts too long."""
import gc
import subprocess
import sys
import weakref

import pytest

import slm

IDS = [1, 259, 260, 261]


@pytest.fixture()
def session(tiny):
    with tiny.session(n_threads=1, n_sequences=2, kv_type="f32") as made:
        yield made


def test_rows_are_memoryviews(session):
    logits = session.logits(IDS)
    assert isinstance(logits, slm.Logits) and repr(logits) == "<slm.Logits 4 x 286>"
    assert logits.shape == (4, 286) and len(logits) == 4
    for row in logits:
        assert isinstance(row, memoryview)
        assert (row.format, row.shape, row.itemsize) == ("f", (286,), 4)
    assert logits[-1] == logits[3] and logits[1:3] == [logits[1], logits[2]]
    assert logits == session.logits(IDS) and logits != session.logits(IDS[:3])
    assert logits[0] != logits[1] and logits != "text"
    with pytest.raises(IndexError):
        logits[4]
    assert len(session.sequence().logits([])) == 0


def test_rows_are_the_callers_own(session):
    logits = session.logits(IDS)
    kept, values = logits[0], logits[0].tolist()
    logits[1][5] = 1234.0
    assert logits[1][5] == 1234.0
    session.logits([1, 270, 271, 272])
    session.text(IDS, max_tokens=3, ignore_end=True)
    session.close()
    del logits
    gc.collect()
    assert kept.tolist() == values


def test_a_sampler_takes_rows_as_they_are(session):
    row = session.logits(IDS)[-1]
    with slm.Sampler(286, temperature=0.0) as sampler:
        best = max(range(286), key=lambda i: (row[i], -i))
        assert sampler.sample(row) == sampler.sample(row.tolist()) == sampler.sample(row.toreadonly())
        assert sampler.sample(row)[0] == best == sampler.top(row, 1)[0][0]
        assert sampler.sample(memoryview(bytes(row)).cast("f")) == sampler.sample(row)
        with pytest.raises(ValueError, match="286"):
            sampler.sample(row[1:])
        with pytest.raises(TypeError):
            sampler.sample(None)


# ---- NumPy ----


def test_numpy_shares_the_memory(session):
    numpy = pytest.importorskip("numpy")
    logits = session.logits(IDS)
    whole, row = numpy.asarray(logits), numpy.asarray(logits[2])
    assert whole.dtype == row.dtype == numpy.float32
    assert whole.shape == (4, 286) and whole.flags.c_contiguous and whole.flags.writeable
    assert numpy.shares_memory(whole, row) and numpy.shares_memory(whole, logits.numpy())
    logits[2][7] = 77.0
    assert whole[2, 7] == row[7] == 77.0
    whole[2, 8] = 88.0
    assert logits[2][8] == 88.0
    session.close()
    del logits, row
    gc.collect()
    assert whole[2, 7] == 77.0


def test_numpy_arrays_are_logits_and_prompts(session):
    numpy = pytest.importorskip("numpy")
    logits = session.logits(numpy.array(IDS, dtype=numpy.int64))
    assert logits == session.logits(numpy.array(IDS, dtype=numpy.uint16)) == session.logits(IDS)
    sampler = slm.Sampler(286, temperature=0.0)
    assert sampler.sample(logits.numpy()[-1]) == sampler.sample(logits[-1])
    assert sampler.sample(logits.numpy()[-1].astype(numpy.float64)) == sampler.sample(logits[-1])
    assert sampler.sample(logits[-1], history=numpy.array([1, 2]))[0] == sampler.sample(logits[-1])[0]
    assert sampler.top(logits.numpy()[:, ::-1][-1], 1) != []  # not contiguous
    sampler.set("top_k", numpy.int32(7))
    sampler.set("temperature", numpy.float32(0.5))
    with pytest.raises(TypeError, match="whole numbers"):
        session.logits(numpy.array([1.0, 2.0]))
    with pytest.raises(slm.NotFiniteError):
        sampler.sample(numpy.full(286, numpy.nan, dtype=numpy.float32))


def test_numpy_is_not_needed():
    """Without NumPy all but Logits.numpy() works, and the package never imports it by itself."""
    code = """
import sys
import slm
with slm.Model() as model, model.session(n_threads=1) as session:
    logits = session.logits("Once upon")
    assert max(logits[-1]) > min(logits[-1])
    assert "numpy" not in sys.modules
    sys.modules["numpy"] = None  # as if it were not installed
    assert session.text("Once", max_tokens=2)
    try:
        logits.numpy()
    except ImportError:
        print("as told")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "as told\n", done.stderr


# ---- the library's own memory, lent ----


def test_visited_rows_are_those_of_logits(session):
    expected, seen = session.logits(IDS), []

    def visit(i, row):
        assert row.readonly and row.format == "f" and len(row) == 286
        seen.append((i, row.tolist()))
    with session.sequence() as sequence:
        assert sequence.visit_logits(IDS[:1], visit) is None
        sequence.visit_logits(IDS[1:], visit)
    assert [i for i, _ in seen] == [0, 0, 1, 2]
    assert [values for _, values in seen] == [row.tolist() for row in expected]


def test_numpy_sees_visited_rows_without_a_copy(session):
    numpy = pytest.importorskip("numpy")
    best, addresses = [], set()

    def visit(_, row):
        array = numpy.asarray(row)
        addresses.add(array.__array_interface__["data"][0])
        assert not array.flags.writeable and not array.flags.owndata
        best.append(int(array.argmax()))
    with session.sequence() as sequence:
        for token in IDS:
            sequence.visit_logits([token], visit)
    assert len(addresses) == 1  # the session's own row, each time
    assert best == [int(row.argmax()) for row in session.logits(IDS).numpy()]


class Cycle:
    """Something that only the garbage collector frees."""

    def __init__(self, thing):
        self.thing, self.me = thing, self


def test_a_row_that_is_kept_is_an_error_and_no_crash(session):
    kept = []
    with session.sequence() as sequence:
        for keep in (kept.append, lambda row: kept.append(row[3:9]),
                     lambda row: kept.append(memoryview(row)), lambda row: kept.append(row.obj),
                     lambda row: kept.append(row.cast("B"))):
            with pytest.raises(BufferError, match="copy"):
                sequence.visit_logits(IDS, lambda _, row, keep=keep: keep(row))
        assert len(kept) == 5  # each call ended with its first row
        sequence.visit_logits(IDS, lambda _, row: Cycle(row))
        sequence.visit_logits(IDS, lambda _, row: kept.append(bytes(row)))
    session.close()
    gc.collect()
    assert [len(bytes(view)) for view in kept[:5]] == [286 * 4, 6 * 4, 286 * 4, 286 * 4, 286 * 4]


def test_numpy_arrays_that_are_kept_keep_the_session(tiny):
    numpy = pytest.importorskip("numpy")
    session, kept = tiny.session(n_threads=1), []
    handle = weakref.finalize(session._handle, kept.append, "freed")
    with pytest.raises(BufferError):
        session.sequence().visit_logits(IDS, lambda _, row: kept.append(numpy.asarray(row)[5:]))
    session.close()
    del session
    gc.collect()
    assert handle.alive and numpy.isfinite(kept[0]).all()
    kept.clear()
    gc.collect()
    assert not handle.alive and kept == ["freed"]


def test_what_a_visit_raises_is_raised(session):
    with session.sequence() as sequence:
        with pytest.raises(ZeroDivisionError):
            sequence.visit_logits(IDS, lambda _, row: 1 // 0)
        with pytest.raises(IndexError):
            sequence.visit_logits([1, -1], lambda _, row: None)
        sequence.truncate(0)
        assert sequence.logits(IDS) == session.logits(IDS)


def test_a_visit_may_not_use_the_session(session):
    with session.sequence() as sequence:
        calls = [session.sequence, lambda: session.text([1]), lambda: sequence.append([1]),
                 lambda: sequence.tokens, lambda: sequence.truncate(0), sequence.save,
                 lambda: sequence.n_computed]
        for call in calls:
            with pytest.raises(slm.BusyError):
                sequence.visit_logits(IDS, lambda _, row, call=call: call())
        sequence.truncate(0)

        def close(_, row):
            session.close()
            assert len(row.tolist()) == 286
        with pytest.raises(slm.StateError):
            sequence.visit_logits(IDS, close)
            sequence.visit_logits(IDS, close)


def test_visits_of_rows_that_are_not_finite(broken):
    with broken.session(kv_type="f32") as session, session.sequence() as sequence:
        seen = []
        with pytest.raises(slm.NotFiniteError, match="after token 2"):
            sequence.visit_logits([1, 259, 284, 260], lambda i, row: seen.append(i))
        assert seen == [0, 1]
