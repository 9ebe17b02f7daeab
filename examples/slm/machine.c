/* SPDX-License-Identifier: MIT */
/* Measuring read bandwidth and 8-bit integer peak, with the best instructions of the processor. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include "tool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

enum { MAX_THREADS = 256, N_CHAINS = 12, N_ROUNDS = 6, CHUNK = 1 << 22 };

#define FOR_EACH_CHAIN(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

static const size_t buffer_bytes = (size_t)256 << 20;

/* ---- the loops: each returns something that depends on all its work, so that none is left out ---- */

/* Reads a buffer; `bytes` is a multiple of 64. */
typedef uint64_t read_loop(const void *buffer, size_t bytes);

/* Runs n rounds of N_CHAINS independent multiply-add chains. */
typedef uint64_t integer_loop(uint64_t n);

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

/* The sums are variables of their own: compilers leave an array of vectors in memory. In AVX2 the
 * factors change from round to round, or they would be multiplied only once. */
__attribute__((target("avx2"))) static uint64_t integers_avx2(uint64_t n)
{
    __m256i x = _mm256_set1_epi8(1), y = _mm256_set1_epi8(2), all = _mm256_setzero_si256();
    const __m256i ones = _mm256_set1_epi16(1);
#define BEGIN(k) __m256i sum##k = _mm256_set1_epi32(k);
#define ADD(k)                                                                                   \
    __asm__ volatile("" : "+x"(x), "+x"(y));                                                     \
    sum##k = _mm256_add_epi32(sum##k, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
#define JOIN(k) all = _mm256_xor_si256(all, sum##k);
    FOR_EACH_CHAIN(BEGIN)
    for (uint64_t i = 0; i < n; i++) {
        FOR_EACH_CHAIN(ADD)
    }
    FOR_EACH_CHAIN(JOIN)
#undef BEGIN
#undef ADD
#undef JOIN
    return (uint64_t)_mm256_extract_epi64(all, 0);
}

#if defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11
#define HAVE_AVX_VNNI
__attribute__((target("avx2,avxvnni"))) static uint64_t integers_avx_vnni(uint64_t n)
{
    const __m256i x = _mm256_set1_epi8(1), y = _mm256_set1_epi8(2);
    __m256i all = _mm256_setzero_si256();
#define BEGIN(k) __m256i sum##k = _mm256_set1_epi32(k);
#define ADD(k) sum##k = _mm256_dpbusd_avx_epi32(sum##k, x, y);
#define JOIN(k) all = _mm256_xor_si256(all, sum##k);
    FOR_EACH_CHAIN(BEGIN)
    for (uint64_t i = 0; i < n; i++) {
        FOR_EACH_CHAIN(ADD)
    }
    FOR_EACH_CHAIN(JOIN)
#undef BEGIN
#undef ADD
#undef JOIN
    return (uint64_t)_mm256_extract_epi64(all, 0);
}
#endif

__attribute__((target("avx512f,avx512vnni"))) static uint64_t integers_avx512(uint64_t n)
{
    const __m512i x = _mm512_set1_epi8(1), y = _mm512_set1_epi8(2);
    __m512i all = _mm512_setzero_si512();
#define BEGIN(k) __m512i sum##k = _mm512_set1_epi32(k);
#define ADD(k) sum##k = _mm512_dpbusd_epi32(sum##k, x, y);
#define JOIN(k) all = _mm512_xor_si512(all, sum##k);
    FOR_EACH_CHAIN(BEGIN)
    for (uint64_t i = 0; i < n; i++) {
        FOR_EACH_CHAIN(ADD)
    }
    FOR_EACH_CHAIN(JOIN)
#undef BEGIN
#undef ADD
#undef JOIN
    return (uint64_t)_mm512_reduce_add_epi32(all);
}

#elif defined(__ARM_FEATURE_DOTPROD)

static uint64_t integers_neon(uint64_t n)
{
    const int8x16_t x = vdupq_n_s8(1), y = vdupq_n_s8(2);
    int32x4_t all = vdupq_n_s32(0);
#define BEGIN(k) int32x4_t sum##k = vdupq_n_s32(k);
#define ADD(k) sum##k = vdotq_s32(sum##k, x, y);
#define JOIN(k) all = veorq_s32(all, sum##k);
    FOR_EACH_CHAIN(BEGIN)
    for (uint64_t i = 0; i < n; i++) {
        FOR_EACH_CHAIN(ADD)
    }
    FOR_EACH_CHAIN(JOIN)
#undef BEGIN
#undef ADD
#undef JOIN
    return (uint64_t)vaddvq_s32(all);
}

#endif

/* The loops for this processor and the operations of one chain in one round. */
typedef struct machine_loops {
    read_loop *read;
    integer_loop *integers;
    double operations;
    const char *name;
} machine_loops;

static machine_loops choose_loops(void)
{
    machine_loops loops = { read_plain, integers_plain, 2, "plain C" };
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        loops = (machine_loops){ read_avx2, integers_avx2, 64, "AVX2 vpmaddubsw" };
#ifdef HAVE_AVX_VNNI
    if (slm_cpu_level() == SLM_CPU_AVX_VNNI)
        loops = (machine_loops){ read_avx2, integers_avx_vnni, 64, "AVX-VNNI vpdpbusd" };
#endif
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"))
        loops = (machine_loops){ read_avx2, integers_avx512, 128, "AVX-512 vpdpbusd" };
#elif defined(__ARM_FEATURE_DOTPROD)
    loops = (machine_loops){ read_plain, integers_neon, 32, "NEON sdot" };
#endif
    return loops;
}

/* ---- threads: all begin together and count what they do until the time is over ---- */

typedef struct worker {
    const machine_loops *loops;
    const char *part; /* of the buffer; NULL = integer work */
    size_t part_bytes;
    double seconds;    /* how long to work */
    double per_second; /* result */
    uint64_t sink;
} worker;

static void work(void *argument)
{
    worker *w = argument;
    double amount = 0, begin = now_seconds(), elapsed = 0;
    size_t position = 0;
    while (elapsed < w->seconds) {
        if (w->part) {
            size_t left = w->part_bytes - position;
            size_t bytes = left < CHUNK ? left : CHUNK;
            w->sink ^= w->loops->read(w->part + position, bytes);
            position = bytes == left ? 0 : position + bytes;
            amount += (double)bytes;
        } else {
            uint64_t rounds = 100000;
            w->sink ^= w->loops->integers(rounds);
            amount += (double)rounds * N_CHAINS * w->loops->operations;
        }
        elapsed = now_seconds() - begin;
    }
    w->per_second = amount / elapsed;
}

/* Sum of what n_threads workers do per second; buffer NULL = integer work. Negative on failure. */
static double measure(const machine_loops *loops, uint32_t n_threads, const char *buffer,
                      double seconds)
{
    worker workers[MAX_THREADS];
    size_t part_bytes = buffer_bytes / n_threads / 4096 * 4096;
    double sum = 0;
    for (uint32_t i = 0; i < n_threads; i++) {
        workers[i] = (worker){ .loops = loops,
                               .part = buffer ? buffer + i * part_bytes : NULL,
                               .part_bytes = part_bytes,
                               .seconds = seconds };
    }
    if (run_threads(n_threads, work, workers, sizeof workers[0]) != n_threads)
        return -1;
    for (uint32_t i = 0; i < n_threads; i++)
        sum += workers[i].per_second;
    return sum;
}

/* The best of some short rounds: what the machine can do when nothing else disturbs it. */
int machine_measure(uint32_t n_threads, machine *result)
{
    if (n_threads == 0 || n_threads > MAX_THREADS)
        return -1;
    machine_loops loops = choose_loops();
    char *buffer = malloc(buffer_bytes);
    if (!buffer)
        return -1;
    memset(buffer, 1, buffer_bytes);
    memset(result, 0, sizeof *result);
    result->integer_instructions = loops.name;
    for (int round = 0; round < N_ROUNDS; round++) {
        double bytes = measure(&loops, n_threads, buffer, 0.1);
        double operations = measure(&loops, n_threads, NULL, 0.05);
        if (bytes > result->read_bytes_per_second)
            result->read_bytes_per_second = bytes;
        if (operations > result->integer_operations_per_second)
            result->integer_operations_per_second = operations;
    }
    free(buffer);
    return result->read_bytes_per_second > 0 && result->integer_operations_per_second > 0 ? 0 : -1;
}
