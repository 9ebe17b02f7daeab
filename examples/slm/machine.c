/* SPDX-License-Identifier: MIT */
/* Measuring read bandwidth, 8-bit integer peak and float32 peak, with the best instructions of the
 * processor. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "tool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { MAX_THREADS = 256, N_CHAINS = 12, CHUNK = 1 << 22 };

/* Servers have hundreds of megabytes of cache. Half of it, and so on, where there is no memory for it. */
static const size_t most_buffer_bytes = (size_t)1 << 30, least_buffer_bytes = (size_t)32 << 20;

/* ---- the loops: each returns something that depends on all its work, so that none is left out ---- */

/* Reads a buffer; `bytes` is a multiple of 64. */
typedef uint64_t read_loop(const void *buffer, size_t bytes);

/* Runs n rounds of N_CHAINS independent multiply-add chains. */
typedef uint64_t product_loop(uint64_t n);

static uint64_t read_plain(const void *buffer, size_t bytes)
{
    const uint64_t *words = buffer;
    uint64_t sums[8] = { 0 };
    for (size_t i = 0; i < bytes / 8; i += 8) {
        for (size_t k = 0; k < 8; k++)
            sums[k] ^= words[i + k];
    }
    for (size_t k = 1; k < 8; k++)
        sums[0] ^= sums[k];
    return sums[0];
}

static uint64_t integers_plain(uint64_t n)
{
    uint32_t sums[N_CHAINS] = { 0 };
    volatile uint32_t seed = 3;
    uint32_t factor = seed;
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < N_CHAINS; k++)
            sums[k] += ((uint32_t)i & 127) * factor + k;
    }
    for (uint32_t k = 1; k < N_CHAINS; k++)
        sums[0] ^= sums[k];
    return sums[0];
}

static uint64_t floats_plain(uint64_t n)
{
    float sums[N_CHAINS] = { 0 };
    volatile float seed = 0.5f;
    float factor = seed;
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < N_CHAINS; k++)
            sums[k] = sums[k] * factor + 1;
    }
    for (uint32_t k = 1; k < N_CHAINS; k++)
        sums[0] += sums[k];
    return (uint64_t)sums[0];
}

/* A loop of N_CHAINS chains: `step` changes one, `join` makes one of two, `result` a number of it. The chains
 * are variables of their own: compilers leave an array of vectors in memory. */
#define PRODUCT_LOOP(name, targets, vector, start, step, join, result)                           \
    targets static uint64_t name(uint64_t n)                                                     \
    {                                                                                            \
        vector c0 = start(0), c1 = start(1), c2 = start(2), c3 = start(3), c4 = start(4);        \
        vector c5 = start(5), c6 = start(6), c7 = start(7), c8 = start(8), c9 = start(9);        \
        vector c10 = start(10), c11 = start(11);                                                 \
        for (uint64_t i = 0; i < n; i++) {                                                       \
            step(c0) step(c1) step(c2) step(c3) step(c4) step(c5)                                \
            step(c6) step(c7) step(c8) step(c9) step(c10) step(c11)                              \
        }                                                                                        \
        c0 = join(join(join(c0, c1), join(c2, c3)), join(c4, c5));                               \
        c6 = join(join(join(c6, c7), join(c8, c9)), join(c10, c11));                             \
        return (uint64_t)result(join(c0, c6));                                                   \
    }

#if defined(__x86_64__)

__attribute__((target("avx2"))) static uint64_t read_avx2(const void *buffer, size_t bytes)
{
    const __m256i *words = buffer;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 4 <= bytes / 32; i += 4) {
        a = _mm256_xor_si256(a, _mm256_loadu_si256(words + i));
        b = _mm256_xor_si256(b, _mm256_loadu_si256(words + i + 1));
        c = _mm256_xor_si256(c, _mm256_loadu_si256(words + i + 2));
        d = _mm256_xor_si256(d, _mm256_loadu_si256(words + i + 3));
    }
    a = _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(c, d));
    return (uint64_t)_mm256_extract_epi64(a, 0) ^ (uint64_t)_mm256_extract_epi64(a, 1);
}

/* In AVX2 one factor goes through an empty instruction, or the products would be made only once. */
#define STEP_AVX2(c)                                                                             \
    {                                                                                            \
        __m256i x = _mm256_set1_epi8(1);                                                         \
        __asm__ volatile("" : "+x"(x));                                                          \
        x = _mm256_madd_epi16(_mm256_maddubs_epi16(x, _mm256_set1_epi8(2)), _mm256_set1_epi16(1)); \
        c = _mm256_add_epi32(c, x);                                                              \
    }
#define STEP_FLOAT_AVX2(c) c = _mm256_fmadd_ps(c, _mm256_set1_ps(0.5f), _mm256_set1_ps(1));
#define STEP_FLOAT_AVX512(c) c = _mm512_fmadd_ps(c, _mm512_set1_ps(0.5f), _mm512_set1_ps(1));
#define STEP_AVX_VNNI(c) c = _mm256_dpbusd_avx_epi32(c, _mm256_set1_epi8(1), _mm256_set1_epi8(2));
#define STEP_AVX512(c) c = _mm512_dpbusd_epi32(c, _mm512_set1_epi8(1), _mm512_set1_epi8(2));
#define LOWEST_256(c) _mm_cvtsi128_si32(_mm256_castsi256_si128(c))
#define LOWEST_512(c) _mm_cvtsi128_si32(_mm512_castsi512_si128(c))

PRODUCT_LOOP(integers_avx2, __attribute__((target("avx2"))), __m256i, _mm256_set1_epi32, STEP_AVX2,
             _mm256_xor_si256, LOWEST_256)
PRODUCT_LOOP(floats_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, STEP_FLOAT_AVX2,
             _mm256_add_ps, _mm256_cvtss_f32)
PRODUCT_LOOP(floats_avx512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps,
             STEP_FLOAT_AVX512, _mm512_add_ps, _mm512_cvtss_f32)
PRODUCT_LOOP(integers_avx512, __attribute__((target("avx512f,avx512vnni"))), __m512i,
             _mm512_set1_epi32, STEP_AVX512, _mm512_xor_si512, LOWEST_512)
#if defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11
#define HAVE_AVX_VNNI
PRODUCT_LOOP(integers_avx_vnni, __attribute__((target("avx2,avxvnni"))), __m256i, _mm256_set1_epi32,
             STEP_AVX_VNNI, _mm256_xor_si256, LOWEST_256)
#endif

#elif defined(__aarch64__)

#define STEP_FLOAT_NEON(c) c = vfmaq_f32(vdupq_n_f32(1), c, vdupq_n_f32(0.5f));
#define STEP_NEON_DOT(c) c = vdotq_s32(c, vdupq_n_s8(1), vdupq_n_s8(2));

PRODUCT_LOOP(floats_neon, , float32x4_t, vdupq_n_f32, STEP_FLOAT_NEON, vaddq_f32, vaddvq_f32)
#ifdef __ARM_FEATURE_DOTPROD
PRODUCT_LOOP(integers_neon, , int32x4_t, vdupq_n_s32, STEP_NEON_DOT, veorq_s32, vaddvq_s32)
#endif

#endif

/* The loops for this processor and the operations of one chain in one round. */
typedef struct machine_loops {
    read_loop *read;
    product_loop *integers, *floats;
    double integer_operations, float_operations;
    const char *name;
} machine_loops;

static machine_loops choose_loops(void)
{
    machine_loops loops = { read_plain, integers_plain, floats_plain, 2, 2, "plain C" };
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        loops = (machine_loops){ read_avx2, integers_avx2, floats_avx2, 64, 16, "AVX2 vpmaddubsw" };
#ifdef HAVE_AVX_VNNI
    if (slm_cpu_level() == SLM_CPU_AVX_VNNI) {
        loops.integers = integers_avx_vnni;
        loops.name = "AVX-VNNI vpdpbusd";
    }
#endif
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
        loops = (machine_loops){ read_avx2, integers_avx512, floats_avx512, 128, 32,
                                 "AVX-512 vpdpbusd" };
#elif defined(__aarch64__)
    loops.floats = floats_neon;
    loops.float_operations = 8;
#ifdef __ARM_FEATURE_DOTPROD
    loops.integers = integers_neon;
    loops.integer_operations = 32;
    loops.name = "NEON sdot";
#endif
#endif
    return loops;
}

/* ---- threads: all begin together and count what they do until the time is over ---- */

typedef struct worker {
    read_loop *read;
    const char *part; /* of the buffer, for reading */
    size_t part_bytes;
    product_loop *products; /* NULL = read */
    double operations; /* of one chain of products in one round */
    double seconds;    /* how long to work */
    double per_second; /* result: bytes or operations */
    uint64_t sink;
} worker;

static void work(void *argument)
{
    worker *w = argument;
    double amount = 0, begin = now_seconds(), elapsed = 0;
    size_t position = 0;
    while (elapsed < w->seconds) {
        if (w->products) {
            uint64_t rounds = 100000;
            w->sink ^= w->products(rounds);
            amount += (double)rounds * N_CHAINS * w->operations;
        } else {
            size_t left = w->part_bytes - position;
            size_t bytes = left < CHUNK ? left : CHUNK;
            w->sink ^= w->read(w->part + position, bytes);
            position = bytes == left ? 0 : position + bytes;
            amount += (double)bytes;
        }
        elapsed = now_seconds() - begin;
    }
    w->per_second = amount / elapsed;
}

/* Has all threads do the same and puts the sum of their results into *best if it is larger. */
static int keep_best(const machine *m, const worker *like, double *best)
{
    worker workers[MAX_THREADS];
    size_t part_bytes = m->buffer_bytes / m->n_threads / 4096 * 4096;
    double sum = 0;
    for (uint32_t i = 0; i < m->n_threads; i++) {
        workers[i] = *like;
        workers[i].part = m->buffer + i * part_bytes;
        workers[i].part_bytes = part_bytes;
    }
    if (run_threads(m->n_threads, work, workers, sizeof workers[0]) != m->n_threads)
        return -1;
    for (uint32_t i = 0; i < m->n_threads; i++)
        sum += workers[i].per_second;
    if (sum > *best)
        *best = sum;
    return 0;
}

int machine_begin(machine *m, uint32_t n_threads)
{
    *m = (machine){ .n_threads = n_threads, .integer_instructions = choose_loops().name };
    if (n_threads == 0 || n_threads > MAX_THREADS)
        return -1;
    m->buffer_bytes = most_buffer_bytes;
    while (!(m->buffer = new_large_buffer(m->buffer_bytes))) {
        m->buffer_bytes /= 2;
        if (m->buffer_bytes < least_buffer_bytes)
            return -1;
    }
    memset(m->buffer, 1, m->buffer_bytes);
    return 0;
}

int machine_measure(machine *m)
{
    machine_loops loops = choose_loops();
    worker read = { .read = loops.read, .seconds = 0.1 };
    worker integers = { .products = loops.integers,
                        .operations = loops.integer_operations,
                        .seconds = 0.05 };
    worker floats = { .products = loops.floats,
                      .operations = loops.float_operations,
                      .seconds = 0.05 };
    if (keep_best(m, &read, &m->read_bytes_per_second) != 0 ||
        keep_best(m, &integers, &m->integer_operations_per_second) != 0 ||
        keep_best(m, &floats, &m->float_operations_per_second) != 0)
        return -1;
    return 0;
}

void machine_end(machine *m)
{
    free(m->buffer);
    m->buffer = NULL;
}
