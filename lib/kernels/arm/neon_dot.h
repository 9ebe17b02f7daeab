/* SPDX-License-Identifier: MIT */
/* What the levels with the dot-product extension share: sdot with a lane. */
#ifndef SLMI_KERNELS_ARM_NEON_DOT_H
#define SLMI_KERNELS_ARM_NEON_DOT_H

#include "kernels/arm/neon.h"

/* sdot multiplies 4 rows of 4 weights by the same 4 activations, here those of a lane of 16, and adds them to
 * the rows' 32-bit sums. The instruction needs the lane as a constant. */
SLMK_INLINE int32x4_t dot_lane(int32x4_t sum, int8x16_t w, int8x16_t x, unsigned lane)
{
    switch (lane) {
    case 0:
        return vdotq_laneq_s32(sum, w, x, 0);
    case 1:
        return vdotq_laneq_s32(sum, w, x, 1);
    case 2:
        return vdotq_laneq_s32(sum, w, x, 2);
    default:
        return vdotq_laneq_s32(sum, w, x, 3);
    }
}

#endif
