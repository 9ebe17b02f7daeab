/* SPDX-License-Identifier: MIT */
/* Attention over one cache page, in plain C: the specification of docs/numerics.md. */
#include "kernels/ref/kv_block.h"
#include "kernels/ref/math.h"
#include "kernels/ref/ref.h"

void slmk_store_key_ref(const float *key, uint32_t d, uint32_t kv_type, uint32_t lane, void *panel)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_kv_store_key_blocks(slmk_kv_round_block, key, d, kv_type, lane, panel);
        return;
    }
    for (uint32_t i = 0; i < d; i++) {
        if (kv_type == SLMK_KV_F32) {
            ((float *)panel)[(size_t)i * 16 + lane] = key[i];
        } else {
            ((uint16_t *)panel)[(size_t)i * 16 + lane] = slmk_f32_to_f16(key[i]);
        }
    }
}

void slmk_store_value_ref(const float *value, uint32_t d, uint32_t kv_type, void *row)
{
    if (slmk_kv_has_blocks(kv_type)) {
        slmk_kv_store_value_blocks(slmk_kv_round_block, value, d, kv_type, row);
        return;
    }
    for (uint32_t i = 0; i < d; i++) {
        if (kv_type == SLMK_KV_F32) {
            ((float *)row)[i] = value[i];
        } else {
            ((uint16_t *)row)[i] = slmk_f32_to_f16(value[i]);
        }
    }
}

static float load(const void *values, uint32_t kv_type, size_t at)
{
    return kv_type == SLMK_KV_F32 ? ((const float *)values)[at]
                                  : slmk_f16_to_f32(((const uint16_t *)values)[at]);
}

/* q times the key in a lane of a panel. */
static float multiply_key(const slmk_attend *job, const float *q, const uint8_t *panel, uint32_t lane)
{
    float score = 0;
    if (!slmk_kv_has_blocks(job->kv_type)) {
        for (uint32_t i = 0; i < job->d; i++) {
            score = slmk_fmaf(q[i], load(panel, job->kv_type, (size_t)i * 16 + lane), score);
        }
        return score;
    }
    for (uint32_t b = 0; b < slmk_kv_n_blocks(job->d); b++, q += SLMK_KV_BLOCK) {
        const uint8_t *block = panel + slmk_kv_key_block(job->kv_type, b);
        const uint8_t *codes = block + SLMK_ROWS * sizeof(uint16_t);
        float part = 0;
        for (uint32_t i = 0; i < slmk_kv_block_width(job->d, b); i++) {
            part = slmk_fmaf(q[i], (float)slmk_kv_key_code(job->kv_type, codes, i, lane), part);
        }
        score = slmk_fmaf(part, slmk_kv_scale(block + lane * sizeof(uint16_t)), score);
    }
    return score;
}

/* Scores of the first n keys into p [n]; returns their maximum, which ignores NaN. */
static float score_keys(const slmk_attend *job, const float *q, uint32_t n, float *p)
{
    const size_t panel_bytes = slmk_kv_panel_bytes(job->kv_type, job->d);
    float max = -INFINITY;
    for (uint32_t key = 0; key < n; key++) {
        const uint8_t *panel = (const uint8_t *)job->k + key / 16 * panel_bytes;
        p[key] = multiply_key(job, q, panel, key % 16) * job->scale;
        max = p[key] > max ? p[key] : max;
    }
    return max;
}

/* Channel i of the first n values, weighted by p [n]. */
static float weigh_values(const slmk_attend *job, const float *p, uint32_t n, uint32_t i)
{
    const uint32_t b = i / SLMK_KV_BLOCK;
    const size_t row_bytes = slmk_kv_row_bytes(job->kv_type, job->d);
    float sum = 0;
    for (uint32_t key = 0; key < n; key++) {
        const uint8_t *row = (const uint8_t *)job->v + key * row_bytes;
        if (!slmk_kv_has_blocks(job->kv_type)) {
            sum = slmk_fmaf(p[key], load(row, job->kv_type, i), sum);
            continue;
        }
        const uint8_t *codes = row + slmk_kv_value_codes(job->kv_type, job->d, b);
        const int32_t code = slmk_kv_value_code(job->kv_type, codes, i % SLMK_KV_BLOCK,
                                                slmk_kv_block_width(job->d, b));
        sum = slmk_fmaf(p[key] * slmk_kv_scale(row + b * sizeof(uint16_t)), (float)code, sum);
    }
    return sum;
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
        out[i] = slmk_fmaf(out[i], old_factor, weigh_values(job, p, n, i) * new_factor);
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
