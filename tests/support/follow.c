/* SPDX-License-Identifier: MIT */
/* A session that writes given tokens: the kernel that looks at logits first changes one of them. */
#include "support/follow.h"

#define LIKELY 1000.0f

static slm_session *followed;
static follow_fn *wanted_token;
static const void *wanted_ctx;
static const slmk_table *kernels;
static slmk_table changed;

static int look(const float *values, uint32_t n, float *max)
{
    const slmi_place *place = &followed->exec_plan.floats[followed->model->plan.logits];
    const uintptr_t begin = (uintptr_t)followed->exec.scratch + place->offset;
    const uintptr_t distance = (uintptr_t)values - begin;
    const uint32_t row = (uint32_t)(distance / place->stride);
    const uint32_t first = (uint32_t)(distance % place->stride / sizeof(float));
    if ((uintptr_t)values >= begin && distance / place->stride < followed->batch.n_wanted) {
        const slmi_wanted *wanted = &followed->wanted[row];
        const int32_t token = wanted_token(wanted_ctx, wanted->sequence, wanted->position + 1);
        if (token >= (int32_t)first && token < (int32_t)(first + n)) {
            slmi_exec_float(&followed->exec, followed->model->plan.logits, row)[token] = LIKELY;
        }
    }
    return kernels->max_finite(values, n, max);
}

void follow(slm_session *session, follow_fn *wanted, const void *ctx)
{
    kernels = slmk_table_get(0);
    changed = *session->config.kernels;
    changed.max_finite = look;
    followed = session;
    wanted_token = wanted;
    wanted_ctx = ctx;
    session->config.kernels = &changed;
}
