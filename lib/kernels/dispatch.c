/* SPDX-License-Identifier: MIT */
/* Choice of the kernel table. */
#include "kernels/levels.h"
#include "slm/base.h"

typedef struct level {
    uint32_t id;
    const char *name;
    const slmk_table *(*table)(void); /* NULL: not in this build */
} level;

/* Best first. */
static const level levels[] = {
#ifdef SLMK_HAVE_AVX512
    { SLM_CPU_AVX512, "avx512", slmk_table_avx512 },
#else
    { SLM_CPU_AVX512, "avx512", NULL },
#endif
#ifdef SLMK_HAVE_AVX_VNNI
    { SLM_CPU_AVX_VNNI, "avx-vnni", slmk_table_avx_vnni },
#else
    { SLM_CPU_AVX_VNNI, "avx-vnni", NULL },
#endif
#ifdef SLMK_HAVE_AVX2
    { SLM_CPU_AVX2, "avx2", slmk_table_avx2 },
#else
    { SLM_CPU_AVX2, "avx2", NULL },
#endif
#ifdef SLMK_HAVE_NEON_I8MM
    { SLM_CPU_NEON_I8MM, "neon-i8mm", slmk_table_neon_i8mm },
#else
    { SLM_CPU_NEON_I8MM, "neon-i8mm", NULL },
#endif
#ifdef SLMK_HAVE_NEON_DOT
    { SLM_CPU_NEON_DOT, "neon-dot", slmk_table_neon_dot },
#else
    { SLM_CPU_NEON_DOT, "neon-dot", NULL },
#endif
#ifdef SLMK_HAVE_NEON
    { SLM_CPU_NEON, "neon", slmk_table_neon },
#else
    { SLM_CPU_NEON, "neon", NULL },
#endif
    { SLM_CPU_SCALAR, "scalar", slmk_table_ref },
};

#define N_LEVELS (sizeof levels / sizeof *levels)

const slmk_table *slmk_table_get(uint32_t id)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if ((id == SLM_CPU_BEST || id == levels[i].id) && levels[i].table &&
            slmk_cpu_has(levels[i].id)) {
            return levels[i].table();
        }
    }
    return NULL;
}

uint32_t slmk_cpu_best(void)
{
    return slmk_table_get(SLM_CPU_BEST)->level;
}

const char *slmk_cpu_name(uint32_t id)
{
    for (size_t i = 0; i < N_LEVELS; i++) {
        if (levels[i].id == id) {
            return levels[i].name;
        }
    }
    return id == SLM_CPU_BEST ? "best" : "unknown";
}
