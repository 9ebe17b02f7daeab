/* SPDX-License-Identifier: MIT */
/* Guesses change nothing but time: the same events, states and ends with and without them, whatever is asked
 * for and whatever comes between. */
#include "session_fixture.h"
#include "slm/experimental/speculate.h"
#include "support/follow.h"

static slm_model *model, *smaller;
static slm_prefix *prefixes[4]; /* of each type of cache */

static slm_prefix *make_prefix(uint32_t kv_type)
{
    slm_session *s;
    slm_prefix *prefix;
    slm_session_options options = small_options(1, 64);
    options.kv_type = kv_type;
    OK(slm_session_create(model, &options, &s, NULL));
    const slm_sequence q = begin_text(s, 30);
    finish(s);
    OK(slm_prefix_create(s, q, "beginning", &prefix, NULL));
    slm_session_release(s);
    return prefix;
}

static int set_up(void **state)
{
    (void)state;
    const tiny_model description = { .n_layers = 1, .width = 32, .n_heads = 2, .n_kv_heads = 1,
                                     .ffn_width = 32, .context_length = 128, .seed = 7 };
    model = make_small(2);
    smaller = make_model(&description);
    for (uint32_t i = 0; i < 4; i++) {
        prefixes[i] = make_prefix(i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        slm_prefix_release(prefixes[i]);
    }
    slm_model_release(model);
    slm_model_release(smaller);
    return 0;
}

static void speculate(slm_session *s, slm_sequence q, uint32_t method, uint32_t flags, uint32_t least)
{
    slm_x_speculate_options options = SLM_X_SPECULATE_OPTIONS_INIT;
    options.method = method;
    options.flags = flags;
    options.least_match = least;
    OK(slm_x_session_speculate(s, q, &options, NULL));
}

static slm_x_speculation speculation_of(slm_session *s, slm_sequence q)
{
    slm_x_speculation told = SLM_X_SPECULATION_INIT;
    OK(slm_x_session_get_speculation(s, q, &told, NULL));
    return told;
}

/* ---- scenes of chance ---- */

static uint32_t draw(uint64_t *state, uint32_t n)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % n;
}

#define N_SCENES 200
#define MOST_SEQUENCES 3
#define MOST_TOKENS 320

enum {
    NOTHING, FORK, SAVE, SET_SAMPLER, GENERATE, APPEND, TRUNCATE, REPLACE, SHIFT, CANCEL, END_WHEN_FULL,
    REMOVE, REFUSED_TEXT, N_ACTIONS
};

/* What a sequence is asked for; the same with and without guesses. */
typedef struct part {
    uint32_t n_prompt, has_prefix, n_words, full, window, max_tokens, flags, n_top, n_stop, seed, follows;
    float temperature, penalty;
    uint32_t method; /* SLM_X_GUESS_* */
    uint32_t action, when; /* after so many tokens */
} part;

typedef struct scene {
    uint64_t seed;
    uint32_t n_sequences, context, pool, kv_type, n_threads, batch_tokens;
    uint32_t n_guesses, least, always;
    const slm_model *draft; /* NULL, the model itself or a smaller one */
    uint64_t budget;
    int piecewise; /* each step does one piece of work, so that actions come at the same token */
    part parts[MOST_SEQUENCES];
} scene;

static void make_part(uint64_t *r, part *p, const scene *s)
{
    static const uint32_t windows[] = { 0, 0, 64, 20 };
    memset(p, 0, sizeof(*p));
    p->n_prompt = 2 + draw(r, s->context / 2);
    p->n_words = 1 + draw(r, 12);
    p->full = draw(r, 3);
    p->window = windows[draw(r, 4)];
    p->max_tokens = draw(r, 3) == 0 ? 0 : 1 + draw(r, 90);
    p->flags = draw(r, 3) == 0 ? 0 : SLM_GENERATE_IGNORE_END;
    p->n_top = draw(r, 3);
    p->n_stop = draw(r, 4) == 0 ? 2 : 0;
    p->seed = draw(r, 1000);
    p->follows = draw(r, 101); /* percent */
    p->temperature = draw(r, 2) == 0 ? 0 : 0.3f + (float)draw(r, 10) * 0.2f;
    p->penalty = draw(r, 3) == 0 ? 1.3f : 1;
    if (p->max_tokens == 0 && p->full == SLM_FULL_SHIFT) {
        p->max_tokens = 200;
    }
    p->action = s->piecewise ? draw(r, N_ACTIONS) : NOTHING;
    if (p->action == FORK && s->pool != 0) {
        p->action = SAVE; /* which of the two meets the end of the pool depends on their pace */
    }
    p->when = 1 + draw(r, 30);
    p->has_prefix = p->window == 0 && s->pool == 0 && s->context > 40 && draw(r, 3) == 0;
    p->method = s->draft != NULL && draw(r, 3) > 0 ? SLM_X_GUESS_DRAFT : SLM_X_GUESS_LOOKUP;
    if (p->method == SLM_X_GUESS_DRAFT && s->draft == model && draw(r, 2) == 0) {
        p->follows = 0; /* what the model itself writes */
    }
}

static scene make_scene(uint32_t seed)
{
    static const uint32_t contexts[] = { 40, 100, 140, 192, MOST_TOKENS };
    static const uint64_t budgets[] = { 0, 0, 1, 30, 500 };
    uint64_t r = seed * UINT64_C(2862933555777941757) + 3037000493;
    scene s = { .seed = seed };
    s.piecewise = draw(&r, 2) == 0;
    s.n_sequences = draw(&r, 2) == 0 ? 1 : 1 + draw(&r, MOST_SEQUENCES);
    s.context = contexts[draw(&r, 5)];
    s.pool = s.n_sequences == 1 && draw(&r, 3) == 0 ? 64 + draw(&r, s.context) : 0;
    s.kv_type = draw(&r, 4);
    s.n_threads = s.piecewise || draw(&r, 3) > 0 ? 1 : 3;
    s.batch_tokens = draw(&r, 3) == 0 ? 1 + draw(&r, 9) : 0;
    s.n_guesses = 1 + draw(&r, 16);
    s.least = 1 + draw(&r, 3);
    s.always = draw(&r, 4) > 0;
    s.draft = draw(&r, 3) > 0 ? NULL : draw(&r, 2) == 0 ? model : smaller;
    s.budget = s.piecewise ? 1 : budgets[draw(&r, 5)];
    for (uint32_t i = 0; i < s.n_sequences; i++) {
        make_part(&r, &s.parts[i], &s);
        if (s.n_sequences > 1 && s.parts[i].action == REMOVE) {
            s.parts[i].action = SAVE; /* a fork of another would take its place, or not, as pace has it */
        }
    }
    return s;
}

/* A text of few words, so that much of it was there before. */
static int32_t word_token(const part *p, uint32_t position)
{
    const uint32_t letter = (position % 7 * UINT32_C(2654435761) >> 16) + position / 7 % p->n_words;
    return TINY_LETTER + (int32_t)(letter % 26);
}

static int32_t follow_words(const void *ctx, uint32_t sequence, uint32_t position)
{
    const scene *s = ctx;
    if (sequence >= s->n_sequences) {
        return -1; /* a fork, and which is which depends on the pace of their sources */
    }
    const part *p = &s->parts[sequence];
    uint64_t r = position * 77 + p->seed;
    draw(&r, 2);
    return draw(&r, 100) < p->follows ? word_token(p, position) : -1;
}

/* What a sequence and its fork told. */
typedef struct record {
    uint64_t hash;
    uint32_t n_events, n_tokens, n_done;
    uint64_t final; /* hash of what is saved at the end */
} record;

static void note(uint64_t *hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
}

static void note_all(record *r, const slm_event *e)
{
    const uint32_t numbers[] = { e->type, e->position, (uint32_t)e->token, e->n_top, e->n_logits, e->reason,
                                 (uint32_t)e->status, e->n_generated, e->n_removed };
    r->n_events++;
    r->n_tokens += e->type == SLM_EVENT_TOKEN;
    r->n_done += e->type == SLM_EVENT_DONE;
    note(&r->hash, numbers, sizeof(numbers));
    note(&r->hash, e->text, e->text_length);
    note(&r->hash, &e->logprob, sizeof(e->logprob));
    note(&r->hash, e->top_tokens, e->n_top * sizeof(int32_t));
    note(&r->hash, e->top_logprobs, e->n_top * sizeof(float));
}

static void note_saved(slm_session *s, slm_sequence q, uint64_t *hash)
{
    static uint8_t blob[1 << 20];
    size_t length;
    OK(slm_session_save_sequence(s, q, NULL, blob, sizeof(blob), &length, NULL));
    note(hash, blob, length);
}

static void set_sampler(slm_session *s, slm_sequence q, const part *p, float temperature)
{
    slm_sampler *sampler;
    OK(slm_sampler_create(TINY_VOCAB, NULL, &sampler, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_TEMPERATURE, temperature, NULL));
    OK(slm_sampler_set_f32(sampler, SLM_SAMPLER_REPETITION_PENALTY, p->penalty, NULL));
    OK(slm_sampler_set_u32(sampler, SLM_SAMPLER_SEED, p->seed, NULL));
    OK(slm_session_set_sampler(s, q, sampler, NULL));
    slm_sampler_release(sampler);
}

static void ask(slm_session *s, slm_sequence q, const part *p)
{
    static const char *const stops[] = { "fab", "qq" };
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = p->max_tokens;
    options.flags = p->flags;
    options.n_top = p->n_top;
    options.stop = stops;
    options.n_stop = p->n_stop;
    const slm_status status = slm_session_generate(s, q, &options, NULL);
    assert_true(status == SLM_OK || status == SLM_ERR_CONTEXT_FULL || status == SLM_ERR_BUDGET);
}

static slm_status append_words(slm_session *s, slm_sequence q, const part *p, uint32_t n)
{
    int32_t tokens[MOST_TOKENS];
    const uint32_t first = info_of(s, q).n_tokens;
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = word_token(p, first + i);
    }
    return slm_session_append(s, q, tokens, n, 0, NULL);
}

/* A scene on stage. */
typedef struct stage {
    const scene *scene;
    slm_session *session;
    slm_sequence sequences[MOST_SEQUENCES], forks[MOST_SEQUENCES];
    record records[MOST_SEQUENCES], fork_records[MOST_SEQUENCES];
    uint32_t acted[MOST_SEQUENCES];
    uint64_t n_accepted[2]; /* of lookup, of drafts */
} stage;

static void fork_it(stage *t, uint32_t i)
{
    const slm_status status =
        slm_session_fork_sequence(t->session, t->sequences[i], &t->forks[i], NULL);
    if (status == SLM_OK) {
        note_saved(t->session, t->forks[i], &t->fork_records[i].hash);
        ask(t->session, t->forks[i], &t->scene->parts[i]);
    }
    note(&t->fork_records[i].hash, &status, sizeof(status));
}

/* Does what the scene has at this token; the host's answer is part of the record. */
static void act(stage *t, uint32_t i)
{
    slm_session *s = t->session;
    const slm_sequence q = t->sequences[i];
    const part *p = &t->scene->parts[i];
    const uint32_t n = info_of(s, q).n_tokens;
    slm_status status = SLM_OK;
    t->acted[i] = 1;
    switch (p->action) {
    case FORK: fork_it(t, i); break;
    case SAVE: note_saved(s, q, &t->records[i].hash); break;
    case SET_SAMPLER: set_sampler(s, q, p, 2); break;
    case GENERATE: ask(s, q, p); break;
    case APPEND:
        status = append_words(s, q, p, 5);
        if (status == SLM_OK) {
            ask(s, q, p);
        }
        break;
    case TRUNCATE:
        status = slm_session_truncate_sequence(s, q, n - 1 - n / 3, NULL);
        if (status == SLM_OK) {
            (void)append_words(s, q, p, 2);
            ask(s, q, p);
        }
        break;
    case REPLACE: status = slm_session_replace(s, q, n / 2, n / 4, NULL, 0, 0, NULL); break;
    case SHIFT: status = slm_session_replace(s, q, n / 2, n / 4, NULL, 0, SLM_REPLACE_SHIFT, NULL); break;
    case CANCEL: slm_session_cancel_sequence(s, q); break;
    case END_WHEN_FULL: OK(slm_session_set_u32(s, q, SLM_SEQUENCE_FULL, SLM_FULL_END, NULL)); break;
    case REMOVE: OK(slm_session_remove_sequence(s, q, NULL)); break;
    default: /* it is written behind the tokens before it is found not to fit */
        if (p->action == REFUSED_TEXT) {
            char text[MOST_TOKENS + 1];
            memset(text, 'z', sizeof(text));
            status = slm_session_append_text(s, q, text, t->scene->context - n + 1, 0, NULL);
        }
        break;
    }
    note(&t->records[i].hash, &status, sizeof(status));
}

static void take_events(stage *t)
{
    slm_event e = SLM_EVENT_INIT;
    while (slm_session_get_event(t->session, &e, NULL) == SLM_OK) {
        for (uint32_t i = 0; i < t->scene->n_sequences; i++) {
            if (e.sequence == t->sequences[i]) {
                note_all(&t->records[i], &e);
            } else if (e.sequence == t->forks[i]) {
                note_all(&t->fork_records[i], &e);
            }
        }
    }
}

/* Has a sequence that waits for room get some; 1 if it did. */
static int make_room(stage *t, uint32_t i)
{
    const slm_sequence q = t->sequences[i];
    slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
    if (slm_session_get_sequence_info(t->session, q, &info, NULL) == SLM_OK && info.is_generating &&
        info.n_tokens == t->scene->context && t->records[i].n_tokens < 250) {
        const slm_status status = slm_session_replace(t->session, q, 1, info.n_tokens / 2, NULL, 0, 0, NULL);
        note(&t->records[i].hash, &status, sizeof(status));
        return status == SLM_OK;
    }
    return 0;
}

static void begin_part(stage *t, uint32_t i, int guess)
{
    const scene *s = t->scene;
    const part *p = &s->parts[i];
    OK(slm_session_add_sequence(t->session, &t->sequences[i], NULL));
    const slm_sequence q = t->sequences[i];
    OK(slm_session_set_u32(t->session, q, SLM_SEQUENCE_WINDOW, p->window, NULL));
    OK(slm_session_set_u32(t->session, q, SLM_SEQUENCE_SINKS, 0, NULL));
    OK(slm_session_set_u32(t->session, q, SLM_SEQUENCE_FULL, p->full, NULL));
    if (p->has_prefix) {
        OK(slm_session_append_prefix(t->session, q, prefixes[s->kv_type], NULL));
    }
    const uint32_t n_words = s->context - 1 - (p->has_prefix ? 30 : 0);
    const slm_status status =
        append_words(t->session, q, p, p->n_prompt < n_words ? p->n_prompt : n_words);
    if (status != SLM_OK) {
        assert_int_equal(status, SLM_ERR_BUDGET);
        OK(append_words(t->session, q, p, 2));
    }
    set_sampler(t->session, q, p, p->temperature);
    if (guess) {
        speculate(t->session, q, p->method, s->always ? SLM_X_SPECULATE_ALWAYS : 0, s->least);
    }
    ask(t->session, q, p);
}

static slm_session *open_session(const scene *s, int guess, uint64_t *time)
{
    slm_session *session;
    slm_session_options options = small_options(2 * s->n_sequences, s->context);
    options.pool_tokens = s->pool;
    options.kv_type = s->kv_type;
    options.n_threads = s->n_threads;
    options.batch_tokens = s->batch_tokens;
    options.top_logprobs = 3;
    options.n_guesses = guess ? s->n_guesses : 0;
    options.draft_model = guess ? (slm_model *)(uintptr_t)s->draft : NULL;
    if (s->piecewise) {
        return make_piecewise(model, options, time);
    }
    OK(slm_session_create(model, &options, &session, NULL));
    return session;
}

/* Acts where it is time, and has those go on that wait for room when nothing else is left to do. */
static slm_status look_after(stage *t, slm_status status)
{
    const scene *s = t->scene;
    for (uint32_t i = 0; i < s->n_sequences; i++) {
        const part *p = &s->parts[i];
        if (!t->acted[i] && p->action != NOTHING && t->records[i].n_tokens == p->when &&
            t->records[i].n_done == 0) {
            act(t, i);
            status = SLM_MORE;
        }
    }
    for (uint32_t i = 0; status == SLM_OK && i < s->n_sequences; i++) {
        if (make_room(t, i)) {
            return SLM_MORE;
        }
    }
    return status;
}

static void play(const scene *s, int guess, stage *t)
{
    uint64_t time;
    slm_status status = SLM_MORE;
    memset(t, 0, sizeof(*t));
    t->scene = s;
    t->session = open_session(s, guess, &time);
    follow(t->session, follow_words, s);
    for (uint32_t i = 0; i < s->n_sequences; i++) {
        begin_part(t, i, guess);
    }
    for (uint32_t n = 0; status != SLM_OK; n++) {
        assert_true(n < 400000);
        status = slm_session_step(t->session, s->budget, NULL);
        assert_true(status >= 0 || status == SLM_ERR_BUDGET);
        take_events(t);
        status = look_after(t, status);
    }
    for (uint32_t i = 0; i < s->n_sequences; i++) {
        slm_sequence_info info = SLM_SEQUENCE_INFO_INIT;
        if (slm_session_get_sequence_info(t->session, t->sequences[i], &info, NULL) == SLM_OK) {
            note(&t->records[i].final, &info.n_pages, sizeof(info.n_pages));
            note_saved(t->session, t->sequences[i], &t->records[i].final);
            const int drafts = s->parts[i].method == SLM_X_GUESS_DRAFT;
            t->n_accepted[drafts] += speculation_of(t->session, t->sequences[i]).n_accepted;
        }
    }
    slm_session_release(t->session);
}

static void same_as_without(void **state)
{
    (void)state;
    static stage plain, guessed;
    uint64_t n_looked_up = 0, n_drafted = 0, n_tokens = 0, n_acted = 0;
    for (uint32_t seed = 0; seed < N_SCENES; seed++) {
        const scene s = make_scene(seed);
        play(&s, 0, &plain);
        play(&s, 1, &guessed);
        for (uint32_t i = 0; i < s.n_sequences; i++) {
            if (memcmp(&plain.records[i], &guessed.records[i], sizeof(record)) != 0 ||
                memcmp(&plain.fork_records[i], &guessed.fork_records[i], sizeof(record)) != 0) {
                fail_msg("scene %u, sequence %u, action %u: %u and %u tokens", seed, i, s.parts[i].action,
                         plain.records[i].n_tokens, guessed.records[i].n_tokens);
            }
            n_tokens += guessed.records[i].n_tokens;
            n_acted += guessed.acted[i];
        }
        assert_true(plain.n_accepted[0] == 0 && plain.n_accepted[1] == 0);
        n_looked_up += guessed.n_accepted[0];
        n_drafted += guessed.n_accepted[1];
    }
    print_message("%u scenes: %u tokens, %u guesses and %u drafts accepted, %u calls between\n", N_SCENES,
                  (unsigned)n_tokens, (unsigned)n_looked_up, (unsigned)n_drafted, (unsigned)n_acted);
    assert_true(n_tokens > N_SCENES * 30 && n_looked_up > n_tokens / 10 && n_drafted > n_tokens / 100);
    assert_true(n_acted > N_SCENES / 4);
}

/* ---- whether they pay ---- */

/* A machine on which a batch of n tokens takes 1000 + row * (n - 1) ns; the clock is looked at before and
 * after a step. */
typedef struct machine {
    slm_session *session;
    uint64_t time;
    uint32_t row, n_looks;
} machine;

static uint64_t machine_clock(void *ctx)
{
    machine *m = ctx;
    if (m->n_looks++ % 2 == 1) {
        m->time += 1000 + (uint64_t)m->row * (m->session->batch.n_tokens - 1);
    }
    return m->time;
}

static int32_t follow_part(const void *ctx, uint32_t sequence, uint32_t position)
{
    const part *p = ctx;
    uint64_t r = (position + 1) * UINT64_C(0x9E3779B97F4A7C15) ^
                 (sequence + p->seed) * UINT64_C(0xBF58476D1CE4E5B9);
    r = (r ^ r >> 29) * UINT64_C(0x94D049BB133111EB);
    /* Words of 7, or letters of chance so few that there is always a match. */
    return p->follows ? word_token(p, position) : TINY_LETTER + (int32_t)draw(&r, 5);
}

/* Tokens written in the time of 1000 plain batches, over those of plain ones, while n sequences write. */
static double speed(uint32_t row, uint32_t n, int repeats)
{
    static machine m;
    slm_host host = SLM_HOST_INIT;
    slm_session_options options = small_options(n, 2048);
    const part p = { .n_words = 3, .follows = (uint32_t)repeats, .seed = row };
    uint64_t n_tokens = 0;
    slm_event event = SLM_EVENT_INIT;
    m = (machine){ .row = row };
    host.clock = machine_clock;
    host.clock_ctx = &m;
    options.host = &host;
    options.n_guesses = 8;
    OK(slm_session_create(model, &options, &m.session, NULL));
    follow(m.session, follow_part, &p);
    for (uint32_t i = 0; i < n; i++) {
        const slm_sequence q = begin_text(m.session, 2);
        make_greedy(m.session, q);
        speculate(m.session, q, SLM_X_GUESS_LOOKUP, 0, 0);
        generate(m.session, q, 0, SLM_GENERATE_IGNORE_END);
    }
    assert_int_equal(slm_session_step(m.session, 0, NULL), SLM_MORE); /* the prompts */
    const uint64_t begin = m.time;
    while (m.time - begin < 1000 * (1000 + (uint64_t)row * (n - 1))) {
        assert_int_equal(slm_session_step(m.session, 0, NULL), SLM_MORE);
        while (slm_session_get_event(m.session, &event, NULL) == SLM_OK) {
            n_tokens += event.type == SLM_EVENT_TOKEN;
        }
        if (n_tokens > (uint64_t)n * 1900) {
            break;
        }
    }
    slm_session_release(m.session);
    return (double)n_tokens / n / ((double)(m.time - begin) / (1000 + (double)row * (n - 1)));
}

static void only_while_it_pays(void **state)
{
    (void)state;
    static const uint32_t costs[] = { 50, 200, 500, 1000 };
    for (uint32_t i = 0; i < 4; i++) {
        for (uint32_t n = 1; n <= 4; n += 3) {
            const double copying = speed(costs[i], n, 1), other = speed(costs[i], n, 0);
            print_message("a row costs %.2f, %u write: %.2f times as fast, %.3f where guesses are wrong\n",
                          costs[i] / 1e3, n, copying, other);
            assert_true(copying > 0.98 && other > 0.975);
            assert_true(i > 1 || n > 1 || copying > (i == 0 ? 4 : 2.2));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_without),
        cmocka_unit_test(only_while_it_pays),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
