/* SPDX-License-Identifier: MIT */
/* The floating-point environment of the specification: round to nearest, denormals kept, no traps.
 * Engines run with flush-to-zero, so every computing entry and task sets it and puts the host's back. */
#ifndef SLMI_BASE_FPENV_H
#define SLMI_BASE_FPENV_H

#include <stdint.h>

#if defined(__SSE2__)
#include <xmmintrin.h>

typedef uint32_t slmi_fpenv;

static inline slmi_fpenv slmi_fpenv_enter(void)
{
    const slmi_fpenv before = _mm_getcsr();
    _mm_setcsr(0x1F80); /* all exceptions masked, nearest, no FTZ, no DAZ */
    return before;
}

static inline void slmi_fpenv_leave(slmi_fpenv before)
{
    _mm_setcsr(before);
}

#elif defined(__aarch64__)

typedef uint64_t slmi_fpenv;

static inline slmi_fpenv slmi_fpenv_enter(void)
{
    slmi_fpenv before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
}

static inline void slmi_fpenv_leave(slmi_fpenv before)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}

#else
#include <fenv.h>

typedef fenv_t slmi_fpenv;

static inline slmi_fpenv slmi_fpenv_enter(void)
{
    fenv_t before;
    feholdexcept(&before);
    fesetround(FE_TONEAREST);
    return before;
}

static inline void slmi_fpenv_leave(slmi_fpenv before)
{
    fesetenv(&before);
}

#endif
#endif
