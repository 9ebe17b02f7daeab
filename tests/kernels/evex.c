/* SPDX-License-Identifier: MIT */
/* The AVX-VNNI kernels in AVX-512's encoding, for processors that have only that. */
#include "check.h"

#define slmk_table_avx_vnni check_table_evex
#include "kernels/x86/avx_vnni_matmul.c"
