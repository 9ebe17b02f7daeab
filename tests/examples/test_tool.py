# SPDX-License-Identifier: MIT
"""The command line tool: what each command prints for good input."""
import json
import math
import re
import signal
import subprocess

import pytest
from conftest import native_only, program

CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
CHATML_TOKENS = ["<|im_start|>", "<|im_end|>"]
PROMPT = "Once upon a time"


# ---- slm ----


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_overview(slm, word):
    done = slm(word)
    assert done.code == 0
    for command in ("run", "chat", "info", "tokenize", "bench", "eval", "convert"):
        assert f"  {command} " in done.out


@pytest.mark.parametrize("command", ["run", "chat", "info", "tokenize", "bench", "eval", "convert"])
def test_help_names_the_common_options(slm, command):
    done = slm(command, "--help")
    assert done.code == 0 and done.err == ""
    assert done.out.startswith(f"usage: slm {command} ")
    for option in ("--threads", "--seed", "--json", "--help", "--context"):
        assert option in done.out


def test_version(slm):
    done = slm("--version")
    assert done.code == 0
    assert re.fullmatch(r"slm \d+\.\d+\.\d+, numerics \d+, \w+\n", done.out)


# ---- slm run ----


def test_run_prints_prompt_and_text_only(slm):
    done = slm("run", "-p", PROMPT, "-n", 20, "--temp", 0)
    assert done.code == 0
    assert done.out.startswith(PROMPT + ",") and len(done.out) > 40
    assert re.fullmatch(
        r"prompt \d+ tokens, [\d.]+ tokens/s; text 20 tokens, [\d.]+ tokens/s \(length\); "
        r"peak memory [\d.]+ MB\n", done.err)


def test_run_is_the_same_for_every_setting_of_speed(slm):
    def text(*options):
        return slm("run", "-p", PROMPT, "-n", 30, "--seed", 7, *options).out
    expected = text()
    assert text("-t", 1) == text("-t", 3) == text("--cpu", "scalar") == expected
    assert text("--cpu", "best") == expected
    assert text("--seed=7") == expected  # the other spelling
    assert text("--seed", 8) != expected


def test_run_reads_the_prompt_from_a_file(slm, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT)
    expected = slm("run", "-p", PROMPT, "-n", 5, "--temp", 0).out
    assert slm("run", "--file", path, "-n", 5, "--temp", 0).out == expected
    assert slm("run", "--file", "-", "-n", 5, "--temp", 0, stdin=PROMPT).out == expected


def test_run_stops_before_a_text(slm):
    whole = slm("run", "-p", PROMPT, "-n", 60, "--temp", 0).out
    done = slm("run", "-p", PROMPT, "-n", 60, "--temp", 0, "--stop", "zzz", "--stop", ".")
    assert done.out == whole[: whole.index(".")]
    assert "(stop)" in done.err


def test_run_tells_logprobs(slm):
    done = slm("run", "-p", PROMPT, "-n", 3, "--temp", 0, "--logprobs", 2)
    lines = done.err.splitlines()
    assert len(lines) == 4
    for line in lines[:3]:
        first = re.match(r' *(-?[\d.]+)  (".*?")  of *(-?[\d.]+)  (".*?")', line)
        assert first and first[1] == first[3] and first[2] == first[4]  # greedy takes the best


def test_run_json(slm):
    done = slm("run", "-p", PROMPT, "-n", 4, "--temp", 0, "--logprobs", 3, "--json")
    figures = json.loads(done.err)
    assert figures["generated_tokens"] == 4 and figures["finish_reason"] == "length"
    assert done.out == PROMPT + "".join(token["text"] for token in figures["tokens"])
    assert all(token["top"][0]["id"] == token["id"] for token in figures["tokens"])
    assert all(len(token["top"]) == 3 for token in figures["tokens"])
    for name in ("prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds",
                 "peak_resident_bytes"):
        assert figures[name] > 0


def test_run_to_a_full_context(slm, tiny):
    done = slm("run", tiny(context=64), "-p", "abc", "-n", 0, "-c", 32)
    assert done.code == 0
    assert "(context)" in done.err or "(end)" in done.err


def test_run_takes_all_kinds_of_cache(slm):
    for kind in ("f16", "f32", "q8", "q4"):
        assert slm("run", "-p", PROMPT, "-n", 4, "--kv", kind).code == 0


def test_guesses_change_nothing_but_time(slm, storyteller, tiny):
    options = ("run", storyteller, "-p", "abc abc abc abc abc abc", "-n", 60, "--seed", 3, "--repeat-penalty", 0.8)
    plain = slm(*options)
    looked_up, drafted = slm(*options, "--speculate"), slm(*options, "--draft", storyteller)
    assert plain.code == looked_up.code == drafted.code == 0
    assert plain.out == looked_up.out == drafted.out
    assert "guesses:" not in plain.err
    assert re.search(r"guesses: \d+ of \d+ came true; \d+\.\d\d tokens a batch", looked_up.err)
    figures = json.loads(slm(*options, "--speculate", "--json").err)
    assert 0 <= figures["accepted_tokens"] <= figures["guessed_tokens"]
    other = slm(*options, "--draft", tiny())
    assert other.code == 1 and "draft model" in other.err
    assert slm(*options, "--draft", "none.gguf").code == 1


def test_chats_with_guesses_are_the_same(slm, storyteller):
    options = ("chat", storyteller, "-n", 20, "--seed", 1)
    plain, guessed = slm(*options, stdin="abc\nabc\n"), slm(*options, "--speculate", stdin="abc\nabc\n")
    assert plain.code == guessed.code == 0 and plain.out == guessed.out
    assert "guesses:" in guessed.err


def test_names_and_prompts_in_any_script(slm, storyteller, tmp_path):
    folder = tmp_path / "моделі"
    folder.mkdir()
    model = folder / "модель é.gguf"
    model.write_bytes(storyteller.read_bytes())
    prompt = folder / "початок 小.txt"
    prompt.write_text("Le café, Київ, 小さい", encoding="utf-8")
    options = ("-n", 12, "--temp", 0)
    expected = slm("run", storyteller, "-p", prompt.read_text(encoding="utf-8"), *options)
    assert expected.code == 0 and expected.out.startswith("Le café, Київ, 小さい")
    assert slm("run", model, "--file", prompt, *options).out == expected.out
    missing = slm("run", folder / "none é.gguf", "-p", "abc")
    assert missing.code == 1 and "моделі" in missing.err and "none é.gguf" in missing.err


def test_interrupt_ends_the_text_cleanly(tiny):
    path = tiny(context=1 << 16, seed=2)  # goes on for thousands of tokens
    process = subprocess.Popen(
        [*program("SLM_TOOL"), "run", path, "-p", "abc", "-n", "60000", "-c", "65536",
         "--temp", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(4).startswith(b"abc")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and b"(cancelled)" in err


# ---- slm chat ----


def test_chat_answers_each_line(slm):
    done = slm("chat", "-n", 8, "--temp", 0, stdin="Tell a story.\n\nGo on.\n")
    assert done.code == 0 and done.err == ""
    assert done.out.count("\n") >= 2 and len(done.out) > 10


def test_chat_in_chatml(slm, tiny):
    path = tiny(chat_template=CHATML, extra_tokens=CHATML_TOKENS, context=256)
    done = slm("chat", path, "-n", 4, "--system", "be kind", stdin="hello\nagain\n")
    assert done.code == 0 and done.err == ""


@native_only
@pytest.mark.parametrize("seed, limit, last", [
    (1, 4, None), (30, 2, None),  # cut
    (30, 3, 287), (2, 40, 287),   # ended with <|im_end|>, once with the last token that it might write
    (5, 40, 2),                   # ended with </s>
])
def test_chat_goes_on_as_the_template_says(slm, tiny, seed, limit, last):
    import slm as slm_package
    path = tiny(chat_template=CHATML, extra_tokens=CHATML_TOKENS, context=256, seed=seed)
    settings = {"max_tokens": limit, "temperature": 0.0}
    hello, again = ({"role": "user", "content": text} for text in ("hello", "again"))
    with slm_package.Model(path) as model, model.session() as session:
        sequence = session.sequence()
        sequence.append(model.encode_chat([hello]))
        first = "".join(sequence.generate(**settings))
        ids = sequence.tokens
        assert last is None or ids.pop() == last
        # What follows an answer in the template, from its end token on.
        answer = {"role": "assistant", "content": "a"}
        whole = model.encode_chat([hello, answer, again])
        following = whole[whole.index(287, whole.index(287) + 1):]
        sequence.remove()
        second = session.text(ids + following, **settings)
    done = slm("chat", path, "-n", limit, "--temp", 0, stdin="hello\nagain\n")
    assert done.code == 0 and done.err == ""
    assert done.out == f"{first}\n{second}\n"


def test_chat_starts_afresh_when_the_context_is_full(slm, tiny):
    path = tiny(context=64)
    done = slm("chat", path, "-n", 20, "--temp", 0, stdin="a few words here\n" * 6)
    assert done.code == 0
    assert "the context is full; the conversation starts afresh" in done.err


def test_chat_refuses_a_template_that_it_does_not_know(slm, tiny):
    done = slm("chat", tiny(chat_template="{{ something_else }}"), stdin="hello\n")
    assert done.code == 1 and done.out == ""
    assert done.err.startswith("slm: ") and "something_else" in done.err


# ---- slm info ----


def test_info(slm):
    done = slm("info")
    assert done.code == 0
    for words in ("storyteller", "llama", "licence      MIT", "Q8_0", "chat format  bare", "memory"):
        assert words in done.out


def test_info_json(slm, storyteller):
    facts = json.loads(slm("info", storyteller, "--json", "--tensors", "--metadata").out)
    assert facts["file_bytes"] == storyteller.stat().st_size
    assert facts["licence"] == "MIT" and facts["architecture"] == "llama"
    assert facts["memory"]["session_bytes"] > facts["memory"]["cache_bytes"] > 0
    assert sum(t["tensors"] for t in facts["tensor_types"].values()) == len(facts["tensors"])
    assert facts["metadata"]["general.name"] == "storyteller"


def test_info_of_an_unknown_template(slm, tiny):
    done = slm("info", tiny(chat_template="{{ something_else }}"))
    assert done.code == 0 and "chat format  not known" in done.out


def test_info_lists(slm):
    assert "token_embd.weight" in slm("info", "--tensors").out
    assert "general.architecture" in slm("info", "--metadata").out


# ---- slm tokenize ----


def test_tokenize_pieces(slm, tiny):
    done = slm("tokenize", tiny(), stdin="ab\n\t\"\\é")
    assert done.out.splitlines() == [
        '285\t" "', '259\t"a"', '260\t"b"', '13\t"\\n"', '12\t"\\t"', '37\t"\\""', '95\t"\\\\"',
        '198\t"\\xc3"', '172\t"\\xa9"',
    ]


def test_tokenize_ids(slm, tiny):
    path = tiny()
    assert slm("tokenize", path, "--ids", stdin="ab").out == "285 259 260\n"
    assert slm("tokenize", path, "--ids", "--special", stdin="ab").out == "1 285 259 260\n"
    assert slm("tokenize", path, "--ids", stdin="").out == "\n"


def test_tokenize_parses_special_only_when_asked(slm, tiny):
    path = tiny(extra_tokens=CHATML_TOKENS)
    assert slm("tokenize", path, "--ids", "--parse-special", stdin="<|im_end|>").out == "287\n"
    assert "287" not in slm("tokenize", path, "--ids", stdin="<|im_end|>").out.split()


def test_tokenize_without_weights(slm, tiny):
    path = tiny(with_weights=False)
    assert slm("tokenize", path, "--ids", stdin="ab").out == "285 259 260\n"


def test_tokenize_json(slm, tiny):
    tokens = json.loads(slm("tokenize", tiny(), "--json", stdin="ab").out)
    assert tokens == [{"id": 285, "text": " "}, {"id": 259, "text": "a"}, {"id": 260, "text": "b"}]


# ---- slm bench ----


def test_bench(slm, tiny):
    done = slm("bench", tiny(), "-p", 32, "-n", 8, "-r", 1)
    assert done.code == 0 and done.err == ""
    assert re.search(r"^prefill +[\d.]+ tokens/s", done.out, re.M)
    assert "F32" in done.out


def test_bench_json(slm):
    figures = json.loads(slm("bench", "-p", 32, "-n", 8, "-r", 2, "-b", 16, "-t", 1, "--json").out)
    assert figures["tensor_types"] == "Q8_0, F32" and figures["threads"] == 1
    for name in ("prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds",
                 "peak_resident_bytes", "machine_read_bytes_per_second",
                 "machine_integer_operations_per_second", "prefill_integer_peak_share",
                 "machine_float_operations_per_second", "decode_read_bandwidth_share"):
        assert figures[name] > 0
    for phase, tokens in (("prefill", 32), ("decode", 8)):
        names = [op["name"] for op in figures[phase]["ops"]]
        assert "attn" in names and len(set(names)) == len(names)
        whole = figures[phase]["all"]
        assert sum(op["seconds"] for op in figures[phase]["ops"]) <= whole["seconds"]
        assert figures[phase]["products"]["integer_operations"] == whole["integer_operations"] > 0
        assert whole["read_bytes"] > 0 and 0 < whole["integer_peak_share"] < 2
        assert whole["seconds"] == pytest.approx(
            2 * tokens / figures[phase + "_tokens_per_second"], rel=0.01)


# ---- slm eval ----


STORY = ("Once upon a time, there was a little girl named Lily. She loved to play with her toys. One "
         "day, she went to the park with her mom and saw a big, red ball.\n")


@pytest.fixture
def story(tmp_path):
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    return path


def evaluate(slm, *arguments):
    done = slm("eval", *arguments, "--json")
    assert done.code == 0 and done.err == ""
    return json.loads(done.out)


@native_only
def test_eval_agrees_with_the_logits(slm, story, storyteller):
    import slm as slm_package
    with slm_package.Model(storyteller) as model, model.session(kv_type="f32") as session:
        ids = model.tokenizer.encode(STORY, add_special=True)
        loss = 0.0
        for row, target in zip(session.logits(ids), ids[1:]):
            largest = max(row)
            loss += math.log(sum(math.exp(x - largest) for x in row)) + largest - row[target]
    facts = evaluate(slm, "--text", story, "--kv", "f32")
    n = len(ids) - 1
    assert facts["text_tokens"] == facts["scored_tokens"] == n
    assert facts["text_bytes"] == len(STORY.encode())
    assert facts["starts_with_bos"] == 1 and facts["windows"] == 1 and facts["window_tokens"] == 512
    assert facts["negative_log_likelihood"] == pytest.approx(loss, rel=1e-6)
    assert facts["perplexity"] == pytest.approx(math.exp(loss / n), rel=1e-6)
    assert facts["bits_per_byte"] == pytest.approx(loss / math.log(2) / len(STORY), rel=1e-6)


def test_eval_prints_its_figures(slm, story):
    done = slm("eval", "--text", story, "--compare-kv", "f32")
    assert done.code == 0 and done.err == ""
    for line in (r"convention +bits-per-byte, windows of 512 tokens, one every 511, BOS",
                 r"perplexity +[\d.]+ \+- [\d.]+", r"bits per byte +[\d.]+ \+- [\d.]+",
                 r"reference +the same model, cache f32: perplexity [\d.]+", r"KL +[\d.e-]+ \+- .*",
                 r"same top +[\d.]+ \+- [\d.]+ %"):
        assert re.search(f"^{line}$", done.out, re.M), line
    assert "reference" not in slm("eval", "--text", story).out


@pytest.mark.parametrize("convention, options, windows, scored", [
    # 41 tokens, 42 with BOS
    ("bits-per-byte", ("-c", 16), 3, 41),
    ("llamacpp-512", ("-c", 16), 2, 2 * 7),
    ("gptq-2048", ("-c", 16), 2, 2 * 15),
    ("hf-stride", ("-c", 16, "--stride", 8), 5, 41),
], ids=lambda value: str(value))
def test_eval_conventions(slm, story, convention, options, windows, scored):
    facts = evaluate(slm, "--text", story, "--convention", convention, *options)
    assert facts["text_tokens"] == 41 and facts["convention"] == convention
    assert (facts["windows"], facts["scored_tokens"]) == (windows, scored)
    assert ("bits_per_byte" in facts) == (convention == "bits-per-byte")
    loss = facts["negative_log_likelihood"] / facts["scored_tokens"]
    assert facts["perplexity"] == pytest.approx(math.exp(loss), rel=1e-7)


def test_eval_is_the_same_for_every_number_of_threads(slm, story):
    def figures(threads):
        facts = evaluate(slm, "--text", story, "--compare-kv", "f32", "-t", threads)
        return {name: facts[name] for name in facts if "seconds" not in name and "resident" not in name}
    assert figures(1) == figures(3)


def test_eval_compares_caches_and_models(slm, story, tiny):
    same = evaluate(slm, "--text", story, "--compare-kv", "f16")
    assert same["kl_max"] == same["loss_change"] == 0 and same["same_top_share"] == 1
    assert same["reference"]["perplexity"] == same["perplexity"]
    assert same["reference"]["kv_type"] == same["kv_type"] == "f16"
    cache = evaluate(slm, "--text", story, "--kv", "f16", "--compare-kv", "f32")
    assert 0 < cache["kl_mean"] <= cache["kl_percentile_99"] <= cache["kl_max"] < 0.01
    assert cache["perplexity"] == same["perplexity"]
    four = evaluate(slm, "--text", story, "--kv", "q4", "--compare-kv", "f32")
    assert cache["kl_mean"] < four["kl_mean"] < 0.1 and four["kv_type"] == "q4"
    one, two = tiny(seed=1), tiny(seed=2)
    facts = evaluate(slm, one, "--text", story, "--reference", two)
    assert facts["model"] == str(one) and facts["reference"]["model"] == str(two)
    assert facts["reference"]["bits_per_byte"] == evaluate(slm, two, "--text", story)["bits_per_byte"]
    assert facts["kl_mean"] > 0.1 and facts["same_top_share"] < 1


def test_eval_scores_each_text_of_a_file(slm, story, tmp_path):
    path = tmp_path / "several.txt"
    path.write_text(f"---\n{STORY}---\n\n {STORY}\n---\n---")
    one = tmp_path / "one.txt"
    one.write_text(STORY.strip())
    both, alone = evaluate(slm, "--text", path, "--separator", "---"), evaluate(slm, "--text", one)
    assert both["texts"] == 2 and both["text_bytes"] == 2 * len(STORY.strip())
    assert both["bits_per_byte"] == pytest.approx(alone["bits_per_byte"], rel=1e-9)
    assert evaluate(slm, "--text", story)["texts"] == 1


def test_eval_reads_standard_input(slm, story):
    assert slm("eval", "--text", "-", stdin=STORY).out.splitlines()[2:] == \
        slm("eval", "--text", story).out.splitlines()[2:]


# ---- slm convert ----


def test_convert(slm, storyteller, tmp_path):
    converted = tmp_path / "converted.slm"
    done = slm("convert", storyteller, converted)
    assert done.code == 0 and done.err == ""
    assert re.fullmatch(r".*converted\.slm written in [\d.]+ s\n", done.out)
    assert [path.name for path in tmp_path.iterdir()] == ["converted.slm"]
    expected = slm("run", storyteller, "-p", PROMPT, "-n", 20, "--seed", 3).out
    assert slm("run", converted, "-p", PROMPT, "-n", 20, "--seed", 3).out == expected
    assert slm("run", converted, "-p", PROMPT, "-n", 20, "--seed", 3, "--copy").out == expected
    assert slm("convert", converted, tmp_path / "again.slm").code != 0


def test_convert_json(slm, storyteller, tmp_path):
    done = slm("convert", storyteller, tmp_path / "out", "--json")
    assert json.loads(done.out).keys() == {"model", "output", "seconds"}


def test_convert_spares_its_input(slm, storyteller, tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(storyteller.read_bytes())
    done = slm("convert", path, path)
    assert done.code != 0 and "over itself" in done.err
    assert path.read_bytes() == storyteller.read_bytes()


@pytest.mark.parametrize("paths", [[], ["one.gguf"], ["one", "two", "three"]])
def test_convert_takes_two_paths(slm, paths):
    done = slm("convert", *paths)
    assert done.code == 2 and "slm convert --help" in done.err
