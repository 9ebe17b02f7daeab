/* SPDX-License-Identifier: MIT */
/* The figures of `slm bench`, as a table or as JSON: speeds, and the share of the machine's limits. */
#include "bench.h"

/* Shares of what the machine can do in the time that an op took. */
typedef struct shares {
    double integer, floating, bandwidth;
} shares;

static shares shares_of(const bench_op *op, const machine *m)
{
    if (op->seconds <= 0)
        return (shares){ 0, 0, 0 };
    return (shares){
        op->integer_operations / op->seconds / m->integer_operations_per_second,
        op->float_operations / op->seconds / m->float_operations_per_second,
        op->bytes / op->seconds / m->read_bytes_per_second,
    };
}

static void print_share(double share)
{
    if (share >= 0.0005)
        printf("%9.1f %%", 100 * share);
    else
        printf("%11s", "-");
}

static void print_op(const char *name, const bench_op *op, const bench_phase *phase,
                     const bench_figures *f)
{
    const shares s = shares_of(op, &f->machine);
    printf("  %-44.44s%9.1f%7.1f %%", name, 1e3 * op->seconds, 100 * op->seconds / phase->seconds);
    print_share(s.integer);
    print_share(s.floating);
    print_share(s.bandwidth);
    putchar('\n');
}

static void print_phase(const bench_phase *phase, const bench_options *o, const bench_figures *f)
{
    printf("\n%s of %u tokens, %u times\n  %-44s%9s%9s%11s%11s%11s\n", phase->name, phase->n_tokens,
           o->repeats, "op", "ms", "time", "integer", "float", "read");
    bench_op rest = { .seconds = phase->seconds };
    for (uint32_t i = 0; i < phase->n_ops; i++) {
        print_op(phase->ops[i].name, &phase->ops[i], phase, f);
        rest.seconds -= phase->ops[i].seconds;
    }
    print_op("drawing, and what lies between", &rest, phase, f);
    print_op("all products with matrices", &phase->products, phase, f);
    print_op("all", &phase->all, phase, f);
}

void bench_print(const bench_options *o, const bench_figures *f)
{
    const machine *m = &f->machine;
    printf("model    %s, %.2f million parameters, %s, %.2f MB\n", f->info.name,
           1e-6 * (double)f->info.n_parameters, f->types, 1e-6 * (double)f->info.file_bytes);
    printf("threads  %u, %s\n", o->common.threads, slm_cpu_level_name(slm_cpu_level()));
    printf("machine  %.1f GB/s read, %.0f GOP/s of 8-bit integers (%s), %.0f GFLOP/s of float32\n",
           1e-9 * m->read_bytes_per_second, 1e-9 * m->integer_operations_per_second,
           m->integer_instructions, 1e-9 * m->float_operations_per_second);
    printf("load     %.3f s\n", f->load_seconds);
    printf("prefill  %.1f tokens/s, %u tokens; %.1f %% of the integer peak\n",
           f->prefill.tokens_per_second, f->prefill.n_tokens,
           100 * shares_of(&f->prefill.all, m).integer);
    printf("decode   %.1f tokens/s, %u tokens; %.1f %% of the read bandwidth\n",
           f->decode.tokens_per_second, f->decode.n_tokens,
           100 * shares_of(&f->decode.all, m).bandwidth);
    printf("memory   %.1f MB at the peak\n", 1e-6 * (double)f->peak_bytes);
    print_phase(&f->prefill, o, f);
    print_phase(&f->decode, o, f);
}

static void write_op(json *j, const char *key, const char *name, const bench_op *op,
                     const bench_figures *f)
{
    const shares s = shares_of(op, &f->machine);
    json_open(j, key, '{');
    if (name)
        json_string(j, "name", name);
    json_number(j, "seconds", op->seconds);
    json_number(j, "integer_operations", op->integer_operations);
    json_number(j, "float_operations", op->float_operations);
    json_number(j, "read_bytes", op->bytes);
    json_number(j, "integer_peak_share", s.integer);
    json_number(j, "float_peak_share", s.floating);
    json_number(j, "read_bandwidth_share", s.bandwidth);
    json_close(j, '}');
}

static void write_phase(json *j, const bench_phase *phase, const bench_figures *f)
{
    json_open(j, phase->name, '{');
    json_open(j, "ops", '[');
    for (uint32_t i = 0; i < phase->n_ops; i++)
        write_op(j, NULL, phase->ops[i].name, &phase->ops[i], f);
    json_close(j, ']');
    write_op(j, "products", NULL, &phase->products, f);
    write_op(j, "all", NULL, &phase->all, f);
    json_close(j, '}');
}

void bench_write_json(const bench_options *o, const bench_figures *f)
{
    const machine *m = &f->machine;
    json j = { stdout, 0, 0 };
    json_open(&j, NULL, '{');
    json_string(&j, "model", f->info.name);
    json_string(&j, "tensor_types", f->types);
    json_integer(&j, "parameters", (int64_t)f->info.n_parameters);
    json_integer(&j, "file_bytes", (int64_t)f->info.file_bytes);
    json_integer(&j, "threads", o->common.threads);
    json_string(&j, "cpu_level", slm_cpu_level_name(slm_cpu_level()));
    json_integer(&j, "prompt_tokens", f->prefill.n_tokens);
    json_integer(&j, "generated_tokens", f->decode.n_tokens);
    json_integer(&j, "repeats", o->repeats);
    json_number(&j, "load_seconds", f->load_seconds);
    json_number(&j, "prefill_tokens_per_second", f->prefill.tokens_per_second);
    json_number(&j, "decode_tokens_per_second", f->decode.tokens_per_second);
    json_integer(&j, "peak_resident_bytes", (int64_t)f->peak_bytes);
    json_number(&j, "machine_read_bytes_per_second", m->read_bytes_per_second);
    json_number(&j, "machine_integer_operations_per_second", m->integer_operations_per_second);
    json_number(&j, "machine_float_operations_per_second", m->float_operations_per_second);
    json_string(&j, "machine_integer_instructions", m->integer_instructions);
    json_number(&j, "prefill_integer_peak_share", shares_of(&f->prefill.all, m).integer);
    json_number(&j, "decode_read_bandwidth_share", shares_of(&f->decode.all, m).bandwidth);
    write_phase(&j, &f->prefill, f);
    write_phase(&j, &f->decode, f);
    json_close(&j, '}');
}
