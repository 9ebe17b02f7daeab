/* SPDX-License-Identifier: MIT */
/* Attention over one cache page, in plain C: the specification of docs/numerics.md. */
#include "kernels/ref/math.h"
#include "kernels/ref/ref.h"

static float load(const void *values, uint32_t kv_type, size_t at)
{
    return kv_type == SLMK_KV_F32 ? ((const float *)values)[at]
                                  : slmk_f16_to_f32(((const uint16_t *)values)[at]);
}

static void store(void *values, uint32_t kv_type, size_t at, float x)
{
    if (kv_type == SLMK_KV_F32) {
        ((float *)values)[at] = x;
    } else {
        ((uint16_t *)values)[at] = slmk_f32_to_f16(x);
    }
}

void slmk_store_key_ref(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
{
    for (uint32_t i = 0; i < d; i++) {
        store(panel, kv_type, (size_t)i * 16 + lane, key[i]);
    }
}

void slmk_store_value_ref(const float *value, uint32_t d, uint32_t kv_type, void *row)
{
    for (uint32_t i = 0; i < d; i++) {
        store(row, kv_type, i, value[i]);
    }
}

/* Scores of the first n keys into p [n]; returns their maximum, which ignores NaN. */
static float score_keys(const slmk_attend *job, const float *q, uint32_t n, float *p)
{
    float max = -INFINITY;
    for (uint32_t key = 0; key < n; key++) {
        size_t at = (size_t)(key / 16) * job->d * 16 + key % 16;
        float score = 0;
        for (uint32_t i = 0; i < job->d; i++) {
            score = slmk_fmaf(q[i], load(job->k, job->kv_type, at + (size_t)i * 16), score);
        }
        p[key] = score * job->scale;
        max = p[key] > max ? p[key] : max;
    }
    return max;
}

static void attend_row(const slmk_attend *job, uint32_t row)
{
    float p[SLMK_PAGE];
    uint32_t n = job->n_keys[row];
    float max = score_keys(job, job->q + row * job->q_stride, n, p);
    float lanes[16] = { 0 };
    for (uint32_t key = 0; key < n; key++) {
        p[key] = slmk_expf(p[key] - max);
        lanes[key % 16] += p[key];
    }

    float all_max = job->max[row] > max ? job->max[row] : max;
    float old_factor = slmk_expf(job->max[row] - all_max);
    float new_factor = slmk_expf(max - all_max);
    job->max[row] = all_max;
    job->sum[row] = slmk_fmaf(job->sum[row], old_factor, slmk_join_lanes(lanes) * new_factor);

    float *out = job->out + row * job->out_stride;
    for (uint32_t i = 0; i < job->d; i++) {
        float value = 0;
        for (uint32_t key = 0; key < n; key++) {
            float v = load(job->v, job->kv_type, (size_t)key * job->d + i);
            value = slmk_fmaf(p[key], v, value);
        }
        out[i] = slmk_fmaf(out[i], old_factor, value * new_factor);
    }
}

void slmk_attend_ref(const slmk_attend *job)
{
    for (uint32_t row = 0; row < job->n_rows; row++) {
        if (job->n_keys[row]) {
            attend_row(job, row);
        }
    }
}
