/* SPDX-License-Identifier: MIT */
/* A shared prefix: tokens and pages of the cache in memory of their own. Immutable, counted by reference. */
#ifndef SLMI_SESSION_PREFIX_H
#define SLMI_SESSION_PREFIX_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "slm/prefix.h"

struct slm_prefix {
    _Atomic uint32_t n_references;
    slmi_alloc alloc;
    uint64_t model;       /* identity */
    uint64_t fingerprint; /* of model, cache type and tokens */
    uint32_t kv_type;
    uint32_t n_tokens;
    uint32_t n_pages;
    size_t page_bytes;
    size_t bytes;         /* of this block */
    char name[SLM_PREFIX_NAME_BYTES + 1];
    int32_t *tokens;      /* [n_tokens] in the same block */
    uint8_t *pages;       /* [n_pages][page_bytes] in the same block */
};

struct slmi_sequence;

/* Checks name and sequence. */
slm_status slmi_prefix_create(const slm_session *session, const struct slmi_sequence *sequence,
                              const char *name, slm_prefix **out, slm_error *err);

/* NULL does nothing. */
void slmi_prefix_retain(slm_prefix *prefix);
void slmi_prefix_release(slm_prefix *prefix);

#endif
