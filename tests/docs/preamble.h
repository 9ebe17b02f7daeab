/* SPDX-License-Identifier: MIT */
/* What the snippets in the pages take for granted. */
#include <slm/slm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char *path;
extern slm_error error;
extern slm_model *model;
extern slm_session *session;
extern slm_sequence sequence;
extern uint32_t n_vocab, n_prefix_tokens;
extern int32_t ids[256];
extern size_t capacity, n_ids;

/* A game's own functions. */
void log_line(const char *line);
void show_text(slm_sequence character, const char *text, size_t length);
void end_line(slm_sequence character, uint32_t reason);
