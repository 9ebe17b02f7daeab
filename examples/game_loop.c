/* SPDX-License-Identifier: MIT */
/* Characters who talk while a game runs at 60 frames a second: one model, one budget for each frame.
 *
 *   game_loop [--frames N] [--budget-us B] [--characters N] [--threads N] [--seed S]
 *             [--turns] [--lines] [--json] [MODEL.gguf]
 *
 * Everybody walks about and answers what a neighbour said. All begin with one shared prefix, the place they
 * live in, and remember about a hundred words beyond it. A frame gives the library B microseconds; those who
 * stand near the player, at (0, 0), are served first. --turns: one speaks at a time. --lines: prints them. */
#include <slm/slm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_times.h"

#define FRAME_NS (1000000000ull / 60)
#define CONTEXT 256 /* tokens that a character can hold, the prefix among them */

/* The default model, part of the program: see slm/embed_model.py. */
extern const unsigned char slm_default_model[];
extern const unsigned char slm_default_model_end[];

static const char place[] =
    "Once upon a time, there was a small village between a dark forest and a big blue lake. In the "
    "village lived a baker who made sweet cakes, a farmer with a brown horse, and many happy children. "
    "Every morning they met at the old well in the middle of the village. They liked to talk about the "
    "weather, the animals in the forest, and the boats on the lake.\n";
static const char *const names[] = { "Lily", "Tom", "Sue", "Ben", "Mia", "Max", "Amy", "Sam" };

enum { SILENT, SPEAKING, FINISHED };

typedef struct character {
    slm_sequence memory;
    float x, y;     /* metres from the player */
    int state;
    uint32_t pause; /* frames until the next line */
    char line[512]; /* what is being said */
    size_t length;
} character;

typedef struct game {
    uint32_t n_frames, budget_us, n_characters, n_threads, seed, turns, show_lines, json;
    const char *path;
    slm_model *model;
    slm_session *session;
    slm_prefix *village; /* the place, computed once, in everybody's memory */
    uint32_t n_village;  /* its tokens */
    character *characters;
    uint32_t n_speaking, n_lines, n_tokens;
    uint32_t *frame_us, *overrun_us; /* [n_frames] */
    slm_error error; /* what went wrong when a function returns 1 */
} game;

/* Source of the generator: Marsaglia, "Xorshift RNGs", 2003. @return less than n */
static uint32_t draw(game *g, uint32_t n)
{
    g->seed ^= g->seed << 13;
    g->seed ^= g->seed >> 17;
    g->seed ^= g->seed << 5;
    return g->seed % n;
}

static const char *name_of(const game *g, const character *c)
{
    return names[(size_t)(c - g->characters) % (sizeof names / sizeof names[0])];
}

/* ---- before the first frame: whatever takes long ------------------------------------------------ */

static int load(game *g)
{
    const size_t size = (size_t)(slm_default_model_end - slm_default_model);
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    options.n_threads = g->n_threads;
    options.n_sequences = g->n_characters + 1; /* one more to make the prefix with */
    options.context_length = CONTEXT;
    return (g->path ? slm_model_load(g->path, NULL, &g->model, &g->error)
                    : slm_model_load_memory(slm_default_model, size, NULL, &g->model, &g->error)) < 0 ||
           slm_session_create(g->model, &options, &g->session, &g->error) < 0;
}

/* Computes the place once. A prefix is a handle of its own: the sequence that it was made of can go. */
static int make_village(game *g)
{
    slm_sequence text = 0;
    slm_prefix_info info = SLM_PREFIX_INFO_INIT;
    slm_status status = SLM_MORE;
    if (slm_session_add_sequence(g->session, &text, &g->error) < 0 ||
        slm_session_append_text(g->session, text, place, strlen(place), SLM_TEXT_ADD_SPECIAL,
                                &g->error) < 0)
        return 1;
    while (status == SLM_MORE)
        status = slm_session_step(g->session, 0, &g->error);
    if (status < 0 || slm_prefix_create(g->session, text, "village", &g->village, &g->error) < 0 ||
        slm_prefix_get_info(g->village, &info, &g->error) < 0)
        return 1;
    g->n_village = info.n_tokens;
    return slm_session_remove_sequence(g->session, text, &g->error) < 0;
}

/* A memory that begins with the village, has dice of its own, and drops its oldest words when it is full. */
static int make_character(game *g, character *c)
{
    slm_session *session = g->session;
    slm_model_info info = SLM_MODEL_INFO_INIT;
    slm_sampler *sampler = NULL;
    const int failed =
        slm_session_add_sequence(session, &c->memory, &g->error) < 0 ||
        slm_session_append_prefix(session, c->memory, g->village, &g->error) < 0 ||
        slm_session_set_u32(session, c->memory, SLM_SEQUENCE_FULL, SLM_FULL_SHIFT, &g->error) < 0 ||
        slm_session_set_u32(session, c->memory, SLM_SEQUENCE_KEEP, g->n_village, &g->error) < 0 ||
        slm_model_get_info(g->model, &info, &g->error) < 0 ||
        slm_sampler_create(info.n_vocab, NULL, &sampler, &g->error) < 0 ||
        slm_sampler_set_u32(sampler, SLM_SAMPLER_SEED, draw(g, 1u << 30), &g->error) < 0 ||
        slm_session_set_sampler(session, c->memory, sampler, &g->error) < 0; /* which copies it */
    slm_sampler_release(sampler);
    c->x = (float)draw(g, 4000) / 100.0f - 20.0f;
    c->y = (float)draw(g, 4000) / 100.0f - 20.0f;
    c->pause = draw(g, 240);
    return failed;
}

/* ---- in each frame ------------------------------------------------------------------------------ */

/* Adds a text to a memory. If there is no room, the oldest 64 tokens behind the village go. */
static int remember(game *g, character *c, const char *text)
{
    for (;;) {
        const slm_status status =
            slm_session_append_text(g->session, c->memory, text, strlen(text), 0, &g->error);
        if (status != SLM_ERR_CONTEXT_FULL)
            return status < 0;
        if (slm_session_replace(g->session, c->memory, g->n_village, 64, NULL, 0, SLM_REPLACE_SHIFT,
                                &g->error) < 0)
            return 1;
    }
}

static int begin_line(game *g, character *c)
{
    static const char *const stop[] = { "\"", "\n" };
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    char opening[32];
    options.max_tokens = 40;
    options.stop = stop;
    options.n_stop = 2;
    snprintf(opening, sizeof opening, "%s said, \"", name_of(g, c));
    c->state = SPEAKING;
    c->length = 0;
    g->n_speaking++;
    return remember(g, c, opening) ||
           slm_session_generate(g->session, c->memory, &options, &g->error) < 0;
}

/* The line is complete: the neighbour in the row hears it, unless he speaks himself, and soon answers. */
static int end_line(game *g, character *c)
{
    char heard[600];
    snprintf(heard, sizeof heard, "%s said, \"%.*s\"\n", name_of(g, c), (int)c->length, c->line);
    if (g->show_lines)
        fputs(heard, stdout);
    c->state = SILENT;
    c->pause = 60 + draw(g, 180);
    g->n_speaking--;
    g->n_lines++;
    if (remember(g, c, "\"\n"))
        return 1;
    character *next = c + 1 < g->characters + g->n_characters ? c + 1 : g->characters;
    next->pause = next->pause < 30 ? next->pause : 30;
    return next != c && next->state == SILENT && remember(g, next, heard);
}

/* The game proper: everybody walks; the nearer the player, the more urgent; who paused enough speaks. */
static int play(game *g)
{
    for (character *c = g->characters; c < g->characters + g->n_characters; c++) {
        c->x += ((float)draw(g, 201) - 100.0f) / 2000.0f;
        c->y += ((float)draw(g, 201) - 100.0f) / 2000.0f;
        const float distance = c->x * c->x + c->y * c->y;
        const uint32_t priority = distance < 25.0f ? 2 : distance < 225.0f;
        if (slm_session_set_u32(g->session, c->memory, SLM_SEQUENCE_PRIORITY, priority, &g->error) < 0)
            return 1;
        c->pause -= c->pause > 0;
        if (c->state == SILENT && c->pause == 0 && !(g->turns && g->n_speaking > 0) && begin_line(g, c))
            return 1;
    }
    return 0;
}

/* What the step brought. Lines that ended are dealt with last: that changes the session. */
static int take_events(game *g)
{
    slm_event event = SLM_EVENT_INIT;
    while (slm_session_get_event(g->session, &event, NULL) == SLM_OK) {
        character *c = g->characters;
        while (c->memory != event.sequence)
            c++;
        const size_t room = sizeof c->line - c->length;
        const size_t length = event.text_length < room ? event.text_length : room;
        for (size_t i = 0; i < length; i++)
            c->line[c->length++] = event.text[i];
        g->n_tokens += event.type == SLM_EVENT_TOKEN;
        if (event.type == SLM_EVENT_DONE)
            c->state = FINISHED;
    }
    for (uint32_t i = 0; i < g->n_characters; i++)
        if (g->characters[i].state == FINISHED && end_line(g, &g->characters[i]))
            return 1;
    return 0;
}

static int run_frames(game *g)
{
    uint64_t next = now_ns();
    for (uint32_t frame = 0; frame < g->n_frames; frame++) {
        const uint64_t begin = now_ns();
        if (play(g))
            return 1;
        const uint64_t before = now_ns();
        if (slm_session_step(g->session, g->budget_us, &g->error) < 0)
            return 1;
        const uint64_t step_us = (now_ns() - before) / 1000;
        if (take_events(g))
            return 1;
        g->frame_us[frame] = (uint32_t)((now_ns() - begin) / 1000);
        g->overrun_us[frame] = step_us > g->budget_us ? (uint32_t)(step_us - g->budget_us) : 0;
        next = next + FRAME_NS > now_ns() ? next + FRAME_NS : now_ns(); /* late frames are not made up for */
        sleep_until(next); /* here a game would draw */
    }
    return 0;
}

static void report(const game *g, double seconds)
{
    if (!g->json) {
        printf("%u characters said %u lines in %.1f s: %u tokens, %.0f a second\n", g->n_characters,
               g->n_lines, seconds, g->n_tokens, g->n_tokens / seconds);
        print_histogram("work in a frame", g->frame_us, g->n_frames, g->budget_us / 4 + 1);
        print_histogram("steps beyond the budget", g->overrun_us, g->n_frames, 25);
        return;
    }
    qsort(g->overrun_us, g->n_frames, sizeof(uint32_t), compare_times);
    printf("{\"frames\": %u, \"budget_microseconds\": %u, \"characters\": %u, \"lines\": %u, "
           "\"tokens\": %u, \"tokens_per_second\": %.1f, \"overrun_microseconds_99_percent\": %u, "
           "\"overrun_microseconds_longest\": %u}\n",
           g->n_frames, g->budget_us, g->n_characters, g->n_lines, g->n_tokens, g->n_tokens / seconds,
           percentile(g->overrun_us, g->n_frames, 99), g->overrun_us[g->n_frames - 1]);
}

static int read_arguments(game *g, char **argument)
{
    const struct { const char *name; uint32_t *value; int is_flag; } options[] = {
        { "--frames", &g->n_frames, 0 },   { "--budget-us", &g->budget_us, 0 },
        { "--threads", &g->n_threads, 0 }, { "--characters", &g->n_characters, 0 },
        { "--seed", &g->seed, 0 },         { "--turns", &g->turns, 1 },
        { "--lines", &g->show_lines, 1 },  { "--json", &g->json, 1 },
    };
    for (; *argument; argument++) {
        size_t i = 0;
        while (i < 8 && strcmp(*argument, options[i].name) != 0)
            i++;
        if (i == 8 && argument[0][0] == '-')
            return 1;
        if (i == 8)
            g->path = *argument;
        else if (options[i].is_flag)
            *options[i].value = 1;
        else if (!argument[1] || sscanf(*++argument, "%u", options[i].value) != 1 || !*options[i].value)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    game g = { .n_frames = 600, .budget_us = 2000, .n_characters = 24, .n_threads = 2, .seed = 1,
               .error = SLM_ERROR_INIT };
    if (read_arguments(&g, argv + (argc > 0))) {
        fputs("usage: game_loop [--frames N] [--budget-us B] [--characters N] [--threads N] [--seed S]\n"
              "                 [--turns] [--lines] [--json] [MODEL.gguf]\n", stderr);
        return 2;
    }
    g.characters = calloc(g.n_characters, sizeof *g.characters);
    g.frame_us = calloc(2 * (size_t)g.n_frames, sizeof *g.frame_us);
    g.overrun_us = g.frame_us ? g.frame_us + g.n_frames : NULL;
    int failed = !g.characters || !g.frame_us || load(&g) || make_village(&g);
    for (uint32_t i = 0; !failed && i < g.n_characters; i++)
        failed = make_character(&g, &g.characters[i]);
    const uint64_t begin = now_ns();
    failed = failed || run_frames(&g);
    if (failed)
        fprintf(stderr, "game_loop: %s\n", g.error.code < 0 ? g.error.message : "no memory");
    else
        report(&g, (double)(now_ns() - begin) / 1e9);
    slm_prefix_release(g.village);
    slm_session_release(g.session);
    slm_model_release(g.model);
    free(g.characters);
    free(g.frame_us);
    return failed;
}
