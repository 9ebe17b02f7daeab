/* SPDX-License-Identifier: MIT */
/* What tells models apart, through the public functions. */
#ifndef SLM_TESTS_IDENTITY_H
#define SLM_TESTS_IDENTITY_H

#include "slm/model.h"

/* The identity that saved sequences name their model by: of shape, frequencies and samples of the weights. */
uint64_t model_identity(slm_model *model);

#endif
