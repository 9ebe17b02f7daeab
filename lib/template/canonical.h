/* SPDX-License-Identifier: MIT */
/* A Jinja template in a canonical spelling, so that templates that mean the same compare equal. */
#ifndef SLMI_TEMPLATE_CANONICAL_H
#define SLMI_TEMPLATE_CANONICAL_H

#include <stddef.h>

/* Longer canonical texts and default system texts belong to no known format. */
#define SLMI_CANONICAL_MAX 6144
#define SLMI_SYSTEM_MAX 1024

/*
 * The spelling: literal text between backquotes, neighbours joined; an output {{ a + b }} as one {a}{b};
 * a statement as %for message in messages%. Inside, no blanks but between words, strings in single
 * quotes with their escapes decoded, x.key for x['key'], `raise` for raise_exception(...). Comments and
 * white space that Jinja drops are gone (trim_blocks and lstrip_blocks on, as chat templates are read),
 * and so are branches that need tools, which a plain conversation never takes. The text of a default
 * ChatML system message is replaced by *.
 */
typedef struct slmi_canonical {
    size_t length;
    size_t system_length;
    unsigned has_system; /* a default system text was found */
    char text[SLMI_CANONICAL_MAX];
    char system[SLMI_SYSTEM_MAX];
} slmi_canonical;

/* Returns 0 if the source is no template that could be known: too long, or constructs beyond the
 * spelling. The source has at least one byte and no NUL among them; the text is NUL-terminated. */
int slmi_canonical_make(slmi_canonical *canonical, const char *source, size_t length);

#endif
