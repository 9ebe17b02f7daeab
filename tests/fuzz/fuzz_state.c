/* SPDX-License-Identifier: MIT */
/* Any bytes as a saved sequence: restored or refused, the session goes on working. The first byte tells
 * whether the checksum is put right, so that what lies behind it is reached as well. */
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "session/session.h"
#include "support/tiny_model.h"

#define HEADER_BYTES 48

static slm_model *load(void)
{
    const tiny_model description = {
        .n_layers = 1, .width = 32, .n_heads = 4, .n_kv_heads = 1, .ffn_width = 32
    };
    size_t size;
    slm_model *model;
    slm_model_options options = SLM_MODEL_OPTIONS_INIT;
    options.n_threads = 1;
    uint8_t *file = tiny_model_make(&description, &size);
    MUST(slm_model_load_memory(file, size, &options, &model, NULL) == SLM_OK);
    free(file);
    return model;
}

/* Makes the blob one of this session, with the header's numbers as they are. */
static void put_right(const slm_session *session, uint8_t *blob, size_t size)
{
    if (size >= HEADER_BYTES + 8 && size % 8 == 0) {
        slmi_write_u64(blob + 16, session->model->identity);
        slmi_write_u64(blob + 24, session->exec_plan.page_bytes);
        slmi_write_u64(blob + size - 8, slmi_hash_words(SLMI_HASH_START, blob, size - 8));
    }
}

static void use(slm_session *session, slm_sequence sequence)
{
    slm_generate_options options = SLM_GENERATE_OPTIONS_INIT;
    options.max_tokens = 2;
    const slm_status status = slm_session_generate(session, sequence, &options, NULL);
    MUST(status == SLM_OK || status == SLM_ERR_STATE || status == SLM_ERR_CONTEXT_FULL);
    int n_steps = 0;
    while (slm_session_step(session, 0, NULL) == SLM_MORE) {
        MUST(++n_steps < 1000);
    }
    MUST(slm_session_remove_sequence(session, sequence, NULL) == SLM_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static slm_model *model; /* one for all inputs */
    slm_session *session;
    slm_sequence sequence;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_error err = SLM_ERROR_INIT;
    if (size == 0) {
        return 0;
    }
    if (model == NULL) {
        model = load();
    }
    options.n_threads = 1;
    MUST(slm_session_create(model, &options, &session, NULL) == SLM_OK);
    uint8_t *blob = malloc(size);
    MUST(blob != NULL);
    memcpy(blob, data + 1, size - 1);
    if (data[0] & 1) {
        put_right(session, blob, size - 1);
    }
    const slm_status status = slm_session_restore_sequence(session, blob, size - 1, NULL, &sequence, &err);
    free(blob);
    MUST(status == SLM_OK || (status < 0 && status == err.code && sequence == 0));
    MUST(status == SLM_OK || err.offset < size || err.offset == SLM_NO_OFFSET);
    if (status == SLM_OK) {
        use(session, sequence);
    }
    const int32_t token = TINY_LETTER;
    MUST(slm_session_add_sequence(session, &sequence, NULL) == SLM_OK);
    MUST(slm_session_append(session, sequence, &token, 1, 0, NULL) == SLM_OK);
    use(session, sequence);
    slm_session_release(session);
    return 0;
}
