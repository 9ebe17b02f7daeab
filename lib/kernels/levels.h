/* SPDX-License-Identifier: MIT */
/* The kernel tables of the processor levels; which of them exist is a matter of the build. */
#ifndef SLMI_KERNELS_LEVELS_H
#define SLMI_KERNELS_LEVELS_H

#include "kernels/kernels.h"

const slmk_table *slmk_table_ref(void);
const slmk_table *slmk_table_avx2(void);       /* SLMK_HAVE_AVX2 */
const slmk_table *slmk_table_avx_vnni(void);   /* SLMK_HAVE_AVX_VNNI */
const slmk_table *slmk_table_avx512(void);     /* SLMK_HAVE_AVX512 */
const slmk_table *slmk_table_neon(void);       /* SLMK_HAVE_NEON */
const slmk_table *slmk_table_neon_dot(void);   /* SLMK_HAVE_NEON_DOT */
const slmk_table *slmk_table_neon_i8mm(void);  /* SLMK_HAVE_NEON_I8MM */

/* 1 if processor and operating system can run the code of a level, built in or not. */
int slmk_cpu_has(uint32_t level);

/* The best level that slmk_table_get knows on this machine. */
uint32_t slmk_cpu_best(void);

/* "scalar", "avx2", "avx-vnni", "avx512", "neon", "neon-dot", "neon-i8mm", "best";
 * "unknown" for a value that is no level. */
const char *slmk_cpu_name(uint32_t level);

#endif
