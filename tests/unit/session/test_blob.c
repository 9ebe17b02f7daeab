/* SPDX-License-Identifier: MIT */
/* Damaged blobs: cut at every byte, and with every field of the header wrong under a good checksum. */
#include "session_fixture.h"

#include "base/bytes.h"
#include "session/blob.h"

static slm_model *model;
static slm_error error;

static int set_up(void **state)
{
    (void)state;
    model = make_small(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    slm_model_release(model);
    return 0;
}

/* A blob, a session that reads it, and the prefix that it needs. */
typedef struct sample {
    slm_session *s;
    slm_prefix *prefix;
    uint8_t *blob;
    size_t size;
} sample;

enum { WHOLE, RELATIVE, WINDOWED, TOKENS, N_SAMPLES };

static void save_as(sample *c, slm_sequence q, uint32_t form)
{
    slm_save_options options = SLM_SAVE_OPTIONS_INIT;
    options.form = form;
    (void)slm_session_save_sequence(c->s, q, &options, NULL, 0, &c->size, NULL);
    c->blob = malloc(c->size);
    OK(slm_session_save_sequence(c->s, q, &options, c->blob, c->size, &c->size, NULL));
}

static void make_sample(sample *c, int kind)
{
    memset(c, 0, sizeof(*c));
    c->s = make_sized(model, 2, 300);
    slm_sequence q = begin_text(c->s, 64);
    finish(c->s);
    if (kind == RELATIVE) {
        OK(slm_prefix_create(c->s, q, "persona", &c->prefix, NULL));
        OK(slm_session_truncate_sequence(c->s, q, 0, NULL));
        OK(slm_session_append_prefix(c->s, q, c->prefix, NULL));
    } else if (kind == WINDOWED) {
        OK(slm_session_truncate_sequence(c->s, q, 0, NULL));
        OK(slm_session_set_u32(c->s, q, SLM_SEQUENCE_WINDOW, 64, NULL));
        append_text_tokens(c->s, q, 0, 64, 0);
    }
    append_text_tokens(c->s, q, 64, kind == WINDOWED ? 200 : 70, 0);
    finish(c->s);
    save_as(c, q, kind == TOKENS ? SLM_SAVE_TOKENS : SLM_SAVE_CACHE);
    OK(slm_session_remove_sequence(c->s, q, NULL));
}

static void end_sample(sample *c)
{
    slm_prefix_release(c->prefix);
    slm_session_release(c->s);
    free(c->blob);
}

static void refuses_what_is_cut(void **state)
{
    (void)state;
    for (int kind = 0; kind < N_SAMPLES; kind++) {
        sample c;
        slm_sequence q = 7;
        slm_saved_info info = SLM_SAVED_INFO_INIT;
        make_sample(&c, kind);
        for (size_t n = 0; n < c.size; n++) {
            uint8_t *part = malloc(n > 0 ? n : 1); /* so that a sanitizer sees what is read behind it */
            memcpy(part, c.blob, n);
            FAILS(slm_session_restore_sequence(c.s, part, n, c.prefix, &q, &error), SLM_ERR_TRUNCATED, n);
            FAILS(slm_saved_get_info(part, n, &info, &error), SLM_ERR_TRUNCATED, n);
            free(part);
        }
        OK(slm_session_restore_sequence(c.s, c.blob, c.size, c.prefix, &q, NULL));
        end_sample(&c);
    }
}

#define AT_END (UINT64_MAX - 1)  /* the blob's length */
#define BEFORE_END (UINT64_MAX - 9) /* 8 bytes less */

typedef struct damage {
    int kind;
    uint32_t at, size;     /* field that gets another value */
    uint64_t value;
    slm_status status;
    uint64_t offset;
    uint32_t needs_model;  /* 1: slm_saved_get_info() cannot see it */
} damage;

static const damage damages[] = {
    { WHOLE, 0, 1, 's', SLM_ERR_FORMAT, 0, 0 },
    { WHOLE, 6, 2, 1, SLM_ERR_FORMAT, 0, 0 },
    { WHOLE, 8, 4, 0, SLM_ERR_FORMAT, 8, 0 },
    { WHOLE, 8, 4, 3, SLM_ERR_UNSUPPORTED, 8, 0 },
    { WHOLE, 12, 4, 4, SLM_ERR_FORMAT, 12, 0 },
    { WHOLE, 12, 4, SLM_KV_F32, SLM_ERR_FORMAT, 88, 1 },
    { WHOLE, 12, 4, SLM_KV_Q8, SLM_ERR_FORMAT, 88, 1 },
    { WHOLE, 16, 8, 77, SLM_ERR_MISMATCH, 16, 1 },
    { WHOLE, 24, 4, 69, SLM_ERR_FORMAT, 28, 0 },
    { WHOLE, 24, 4, UINT32_MAX, SLM_ERR_TRUNCATED, AT_END, 0 },
    { WHOLE, 28, 4, 71, SLM_ERR_FORMAT, 28, 0 },
    { WHOLE, 32, 4, 71, SLM_ERR_FORMAT, 32, 0 },
    { WHOLE, 32, 4, 69, SLM_ERR_FORMAT, 88, 1 },
    { WHOLE, 36, 4, 1, SLM_ERR_FORMAT, 96, 0 },
    { WHOLE, 48, 4, 64, SLM_ERR_FORMAT, 48, 0 },
    { WHOLE, 52, 4, 64, SLM_ERR_FORMAT, 48, 0 },
    { WHOLE, 56, 4, 256, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 60, 4, 3, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 64, 4, (1u << 20) + 1, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 68, 4, (1u << 20) + 1, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 72, 4, (1u << 20) + 1, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 76, 4, UINT32_MAX, SLM_ERR_FORMAT, 56, 0 },
    { WHOLE, 80, 4, 0, SLM_ERR_FORMAT, 80, 0 },
    { WHOLE, 80, 4, 3, SLM_ERR_FORMAT, 80, 0 },
    { WHOLE, 80, 4, 4, SLM_ERR_TRUNCATED, AT_END, 0 },
    { WHOLE, 84, 1, 4, SLM_ERR_FORMAT, 84, 0 },
    { WHOLE, 84, 2, 1 | 'a' << 8, SLM_ERR_FORMAT, 85, 0 },
    { WHOLE, 88, 8, UINT64_C(1) << 63, SLM_ERR_FORMAT, 88, 0 },
    { WHOLE, 88, 8, UINT64_MAX, SLM_ERR_FORMAT, 88, 0 },
    { WHOLE, 88, 8, 70 * 64 + 8, SLM_ERR_TRUNCATED, AT_END, 0 },
    { WHOLE, 88, 8, 70 * 64 - 8, SLM_ERR_FORMAT, BEFORE_END, 0 },
    { WHOLE, 96, 1, 'p', SLM_ERR_FORMAT, 96, 0 },
    { WHOLE, 160 + 2 * 5, 2, TINY_VOCAB, SLM_ERR_FORMAT, 160 + 2 * 5, 1 },
    { WHOLE, 160 + 2 * 69, 2, 65535, SLM_ERR_FORMAT, 160 + 2 * 69, 1 },
    { RELATIVE, 32, 4, 63, SLM_ERR_FORMAT, 36, 0 },
    { RELATIVE, 36, 4, 71, SLM_ERR_FORMAT, 36, 0 },
    { RELATIVE, 36, 4, 0, SLM_ERR_FORMAT, 96, 0 },
    { RELATIVE, 36, 4, UINT32_MAX, SLM_ERR_FORMAT, 36, 0 },
    { RELATIVE, 40, 8, 1, SLM_ERR_MISMATCH, 40, 1 },
    { RELATIVE, 72, 4, 64, SLM_ERR_FORMAT, 36, 0 },
    { RELATIVE, 96, 1, 0, SLM_ERR_FORMAT, 96, 0 },
    { RELATIVE, 97, 1, 0xFF, SLM_ERR_FORMAT, 96, 0 },
    { RELATIVE, 160 + 2 * 5, 2, TINY_VOCAB, SLM_ERR_FORMAT, 160 + 2 * 5, 1 },
    { WINDOWED, 32, 4, 100, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 36, 4, 64, SLM_ERR_FORMAT, 96, 0 },
    { WINDOWED, 48, 4, 0, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 48, 4, 128, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 52, 4, 127, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 52, 4, 64, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 52, 4, 192, SLM_ERR_FORMAT, 48, 0 }, /* the window sees tokens from 128 on */
    { WINDOWED, 52, 4, 256, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 52, 4, 0xFFFFFFC0, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 72, 4, 0, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 72, 4, 150, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 76, 4, 65, SLM_ERR_FORMAT, 48, 0 },
    { WINDOWED, 76, 4, 0, SLM_ERR_FORMAT, 48, 0 },
    { TOKENS, 12, 4, 4, SLM_ERR_FORMAT, 12, 0 },
    { TOKENS, 32, 4, 1, SLM_ERR_FORMAT, 88, 1 },
    { TOKENS, 36, 4, 1, SLM_ERR_FORMAT, 36, 0 },
};

static void write_field(uint8_t *at, uint32_t size, uint64_t value)
{
    for (uint32_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> 8 * i);
    }
}

static void refuses_every_wrong_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        const damage *d = &damages[i];
        sample c;
        slm_sequence q = 7;
        slm_saved_info info = SLM_SAVED_INFO_INIT;
        make_sample(&c, d->kind);
        const uint64_t offset = d->offset == AT_END       ? c.size
                                : d->offset == BEFORE_END ? c.size - 8
                                                          : d->offset;
        write_field(c.blob + d->at, d->size, d->value);
        slmi_blob_write_checksum(c.blob, c.size);
        error = (slm_error)SLM_ERROR_INIT;
        const slm_status status = slm_session_restore_sequence(c.s, c.blob, c.size, c.prefix, &q, &error);
        if (status != d->status || error.offset != offset) {
            fail_msg("damage %u: status %d at %u: %s", (unsigned)i, (int)status, (unsigned)error.offset,
                     error.message);
        }
        assert_true(q == 0);
        if (d->needs_model) {
            OK(slm_saved_get_info(c.blob, c.size, &info, NULL));
        } else {
            FAILS(slm_saved_get_info(c.blob, c.size, &info, &error), d->status, offset);
        }
        end_sample(&c);
    }
}

static void refuses_a_name_without_end(void **state)
{
    (void)state;
    sample c;
    slm_sequence q;
    make_sample(&c, RELATIVE);
    memset(c.blob + 96, 'n', 64);
    slmi_blob_write_checksum(c.blob, c.size);
    FAILS(slm_session_restore_sequence(c.s, c.blob, c.size, c.prefix, &q, &error), SLM_ERR_FORMAT, 96);
    c.blob[96 + 63] = 0; /* 63 bytes are a name, which says nothing about what is in the prefix */
    slmi_blob_write_checksum(c.blob, c.size);
    OK(slm_session_restore_sequence(c.s, c.blob, c.size, c.prefix, &q, NULL));
    end_sample(&c);
}

/* Any bytes under a good checksum: an error, or a sequence that can be used. */
static void survives_random_headers(void **state)
{
    (void)state;
    uint64_t random = 12345;
    uint32_t n_restored = 0;
    sample c;
    for (int round = 0; round < 1200; round++) {
        slm_sequence q;
        if (round % 200 == 0) {
            make_sample(&c, round / 200 % N_SAMPLES);
        }
        uint8_t *blob = malloc(c.size);
        memcpy(blob, c.blob, c.size);
        for (int i = 0; i < 1 + round % 3; i++) {
            static const uint32_t values[] = { 0, 1, 63, 64, 65, 128, 192, 256, 1u << 20, UINT32_MAX };
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            write_field(blob + 12 + (random >> 33) % 37 * 4, 4, values[(random >> 40) % 10]);
        }
        slmi_blob_write_checksum(blob, c.size);
        error = (slm_error)SLM_ERROR_INIT;
        const slm_status status = slm_session_restore_sequence(c.s, blob, c.size, c.prefix, &q, &error);
        assert_int_equal(status, error.code);
        if (status == SLM_OK) {
            future f;
            look_ahead(c.s, q, &f);
            OK(slm_session_remove_sequence(c.s, q, NULL));
            n_restored++;
        }
        free(blob);
        if (round % 200 == 199) {
            end_sample(&c);
        }
    }
    assert_true(n_restored > 40 && n_restored < 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_cut),
        cmocka_unit_test(refuses_every_wrong_field),
        cmocka_unit_test(refuses_a_name_without_end),
        cmocka_unit_test(survives_random_headers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
