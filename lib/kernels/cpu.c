/* SPDX-License-Identifier: MIT */
/* Detection of what the processor can do and the operating system lets it do. */
#include "kernels/levels.h"
#include "slm/base.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__) || defined(__i386__)

/* Bits of the CPUID leaves and of XCR0 (Intel SDM, volume 2, CPUID; volume 1, chapter 13). */
#define LEAF1_ECX_AVX2_LEVEL (1u << 12 | 1u << 27 | 1u << 28 | 1u << 29) /* FMA OSXSAVE AVX F16C */
#define LEAF7_EBX_AVX2 (1u << 5)
#define LEAF7_EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F DQ BW VL */
#define LEAF7_ECX_AVX512 (1u << 11)                                  /* VNNI */
#define LEAF7_1_EAX_AVX_VNNI (1u << 4)
#define XCR0_AVX 0x06u                                               /* XMM, YMM */
#define XCR0_AVX512 0xe6u                                            /* and masks, ZMM */

/* The register states that the operating system saves; only if CPUID tells OSXSAVE. */
static uint32_t saved_states(void)
{
    uint32_t low;
    uint32_t high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0)); /* xgetbv */
    return low;
}

/* 1 if the level's instructions are there and the system saves the registers that they use. */
int slmk_cpu_has(uint32_t level)
{
    unsigned a, b, c, d;
    if (level == SLM_CPU_SCALAR) {
        return 1;
    }
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & LEAF1_ECX_AVX2_LEVEL) != LEAF1_ECX_AVX2_LEVEL) {
        return 0;
    }
    const uint32_t states = saved_states();
    if ((states & XCR0_AVX) != XCR0_AVX || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
        !(b & LEAF7_EBX_AVX2)) {
        return 0;
    }
    switch (level) {
    case SLM_CPU_AVX2:
        return 1;
    case SLM_CPU_AVX_VNNI: /* `a` is the last subleaf */
        return a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & LEAF7_1_EAX_AVX_VNNI);
    case SLM_CPU_AVX512:
        return (states & XCR0_AVX512) == XCR0_AVX512 && (b & LEAF7_EBX_AVX512) == LEAF7_EBX_AVX512 &&
               (c & LEAF7_ECX_AVX512);
    default:
        return 0;
    }
}

#elif defined(__aarch64__) && defined(__linux__)

/* Linux, asm/hwcap.h; every processor of this architecture has NEON. */
#define HWCAP_BIT_ASIMDDP (1ul << 20)
#define HWCAP2_BIT_I8MM (1ul << 13)

int slmk_cpu_has(uint32_t level)
{
    const int has_dot = (getauxval(AT_HWCAP) & HWCAP_BIT_ASIMDDP) != 0;
    switch (level) {
    case SLM_CPU_SCALAR:
    case SLM_CPU_NEON:
        return 1;
    case SLM_CPU_NEON_DOT:
        return has_dot;
    case SLM_CPU_NEON_I8MM:
        return has_dot && (getauxval(AT_HWCAP2) & HWCAP2_BIT_I8MM) != 0;
    default:
        return 0;
    }
}

#elif defined(__aarch64__) && defined(__APPLE__)

/* Every Apple processor that runs 64-bit macOS has the dot-product extension. */
int slmk_cpu_has(uint32_t level)
{
    int has_i8mm = 0;
    size_t size = sizeof has_i8mm;
    if (level == SLM_CPU_NEON_I8MM) {
        return sysctlbyname("hw.optional.arm.FEAT_I8MM", &has_i8mm, &size, NULL, 0) == 0 && has_i8mm;
    }
    return level == SLM_CPU_SCALAR || level == SLM_CPU_NEON || level == SLM_CPU_NEON_DOT;
}

#else

int slmk_cpu_has(uint32_t level)
{
    return level == SLM_CPU_SCALAR;
}

#endif
