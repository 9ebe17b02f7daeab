/* SPDX-License-Identifier: MIT */
/* What the calls of the interface's fuzz target share: its objects, its input, and checks of statuses. */
#ifndef SLM_TESTS_FUZZ_API_H
#define SLM_TESTS_FUZZ_API_H

#include <string.h>

#include "fuzz.h"
#include "slm/slm.h"
#include "support/failing_alloc.h"
#include "support/tiny_model.h"

#define N_MODELS 2
#define N_SESSIONS 2
#define N_IDS 8
#define N_PREFIXES 3
#define N_SAMPLERS 2
#define N_BLOBS 3
#define MAX_TASKS 16

/* How the host runs tasks. */
enum { TASKS_NONE, TASKS_AT_ONCE, TASKS_NEVER, TASKS_IN_WAIT, TASKS_REVERSED, TASKS_AT_NEXT, N_MANNERS };

typedef struct task {
    void (*run)(void *task);
    void *argument;
} task;

typedef struct player {
    slm_session *session; /* NULL = none */
    uint32_t model;       /* index */
    uint32_t kv_type;
    uint32_t manner;
    task tasks[MAX_TASKS]; /* offered, not run yet */
    uint32_t n_tasks;
} player;

/* `exact`: nothing that the interface calls inexact went into the cache, so that computing the same tokens
 * anew must give the same bits. */
typedef struct named_sequence {
    slm_sequence id;           /* may be stale */
    const struct player *owner; /* calls use ids of the other session as well */
    int exact;
} named_sequence;

typedef struct named_prefix {
    slm_prefix *prefix;
    int exact;
} named_prefix;

typedef struct blob {
    uint8_t *bytes;
    size_t size;
    uint32_t kv_type;
    uint32_t form;
    int exact;
} blob;

typedef struct world {
    const uint8_t *data;
    size_t size;
    slm_model **models; /* [N_MODELS], shared by all inputs */
    failing_alloc *memory;
    slm_error err;      /* of the last call */
    player players[N_SESSIONS];
    named_sequence ids[N_IDS];
    named_prefix prefixes[N_PREFIXES];
    slm_sampler *samplers[N_SAMPLERS];
    blob blobs[N_BLOBS];
    uint64_t time;
    slm_session *stepping; /* inside a step of this session */
    uint32_t mischief;     /* what the clock's callback does */
    int released;          /* it released the session */
} world;

/* The next byte of the input; 0 when it is used up. */
uint8_t take(world *w);

/* A number that is often small, often next to a border, and sometimes huge. */
uint32_t take_number(world *w);

/* The error of a call that is about to be made. */
slm_error *fresh_error(world *w);

/* The status is one of these (n of them), or out of memory when memory was short, and the error tells so. */
void check_status(world *w, slm_status status, const slm_status *allowed, size_t n);

#define MAY_BE(w, status, ...)                                                      \
    check_status(w, status, (const slm_status[]){ SLM_OK, __VA_ARGS__ },            \
                 sizeof((const slm_status[]){ SLM_OK, __VA_ARGS__ }) / sizeof(slm_status))

/* Sometimes another struct_size than the right one, of a struct that has 32 more bytes behind it. */
void wild_size(world *w, void *options, uint32_t right);

/* A struct and room for a longer one. */
#define WITH_TAIL(type, name, ...) \
    struct {                       \
        type known;                \
        uint8_t tail[32];          \
    } name;                        \
    memset(&name, 0, sizeof(name)); \
    name.known = (type)__VA_ARGS__

/* One random call each. */
void call_sequence(world *w, player *p); /* fuzz_api_sequences.c */
void call_saved(world *w, player *p);    /* fuzz_api_saved.c */
void call_object(world *w, player *p);   /* fuzz_api_objects.c */

/* The name that a sequence of this session has, or NULL. */
named_sequence *find_name(world *w, const player *p, slm_sequence id);

/* Computes tokens anew and compares the cache, for a sequence that is exact. */
void compare_with_fresh(world *w, const player *p, const named_sequence *name);

#endif
