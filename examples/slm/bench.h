/* SPDX-License-Identifier: MIT */
/* What `slm bench` measures (bench.c) and prints (bench_report.c). */
#ifndef BENCH_H
#define BENCH_H

#include "machine.h"
#include "tool.h"

typedef struct bench_options {
    common_options common;
    uint32_t prompt_tokens, text_tokens, repeats, batch_tokens;
} bench_options;

/* What the stages of one name did, in all layers and repetitions. */
typedef struct bench_op {
    char name[128]; /* "attn_q, attn_k, attn_v" */
    double seconds;
    double integer_operations, float_operations; /* a product and its addition are two */
    double bytes;   /* weights, keys and values that had to be read */
} bench_op;

enum { MAX_OPS = 48 };

/* A prompt, or a text that is written. */
typedef struct bench_phase {
    const char *name;
    uint32_t n_tokens;
    double tokens_per_second; /* median */
    double seconds;           /* of all repetitions together */
    bench_op ops[MAX_OPS];    /* in the order in which they run */
    uint32_t n_ops;
    bench_op products;        /* all products with matrices */
    bench_op all;             /* everything; its seconds are those of the phase */
} bench_phase;

typedef struct bench_figures {
    slm_model_info info;
    char types[256]; /* "Q8_0, F32" */
    double load_seconds;
    uint64_t peak_bytes;
    bench_phase prefill, decode;
    machine machine;
} bench_figures;

void bench_print(const bench_options *o, const bench_figures *f);
void bench_write_json(const bench_options *o, const bench_figures *f);

#endif
