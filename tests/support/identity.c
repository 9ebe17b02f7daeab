/* SPDX-License-Identifier: MIT */
/* What tells models apart, through the public functions. */
#include "support/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "slm/saved.h"
#include "slm/sequence.h"
#include "slm/session.h"

uint64_t model_identity(slm_model *model)
{
    slm_session *session;
    slm_sequence q;
    slm_session_options options = SLM_SESSION_OPTIONS_INIT;
    slm_saved_info info = SLM_SAVED_INFO_INIT;
    uint8_t blob[1024];
    size_t size;
    options.n_threads = 1;
    assert_int_equal(slm_session_create(model, &options, &session, NULL), SLM_OK);
    assert_int_equal(slm_session_add_sequence(session, &q, NULL), SLM_OK);
    assert_int_equal(slm_session_save_sequence(session, q, NULL, blob, sizeof(blob), &size, NULL), SLM_OK);
    assert_int_equal(slm_saved_get_info(blob, size, &info, NULL), SLM_OK);
    slm_session_release(session);
    return info.model;
}
