/* SPDX-License-Identifier: MIT */
/* The umbrella: everything that is stable. See docs/api-stability.md for the promise. */
#ifndef SLM_SLM_H
#define SLM_SLM_H

#include "slm/base.h"
#include "slm/chat.h"
#include "slm/model.h"
#include "slm/prefix.h"
#include "slm/sampler.h"
#include "slm/saved.h"
#include "slm/sequence.h"
#include "slm/session.h"
#include "slm/tokenizer.h"

#endif
