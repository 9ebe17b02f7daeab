/* SPDX-License-Identifier: MIT */
/* A saved sequence as bytes. All numbers are little-endian; keys and values have the bytes that they have in
 * the cache. Version 2:
 *
 *    0  "SLMSEQ" 0 0     magic
 *    8  u32  version     2
 *   12  u32  kv type     of the cache below
 *   16  u64  model       identity of the model
 *   24  u32  tokens      n
 *   28  u32  requested   <= n
 *   32  u32  cached      c <= n: the cache below is that of tokens [p, c) without the hidden ones
 *   36  u32  prefix      p <= n: tokens that are not below, but in a slm_prefix; 0 = none
 *   40  u64  prefix      its fingerprint; 0 = none
 *   48  u32  hidden      first token that a window hid, a multiple of 64; 0 when nothing is hidden
 *   52  u32  hidden      behind the last one, a multiple of 64; 0 when nothing is hidden
 *   56  u32[6]           priority, full, keep, drop, window, sinks
 *   80  u32  token size  2 or 4 bytes
 *   84  u8   t <= 3      bytes of a character that is not complete yet
 *   85  u8[3]            these bytes, then zeros
 *   88  u64  cache size  in bytes
 *   96  u8[64]           the prefix's name, padded with zeros
 *  160  tokens           ids of [p, n), padded with zeros to a multiple of 8 bytes
 *       cache            page by page, slot by slot, head by head: keys of the page's tokens by panel
 *                        (slmk_kv_save_keys()), then their values row by row
 *       u64  checksum    slmi_hash_words() of all before it
 *
 * Version 1, which is read and not written any more:
 *
 *    0  "SLMSEQ" 0 0, u32 version 1, u32 kv type, u64 model, u64 page bytes
 *   32  u32  tokens n, u32 cached c, u32 requested, u8 t, u8[3]
 *   48  u32[n]           ids, padded with zeros to a multiple of 8 bytes
 *       pages            ceil(c / 64) whole pages of the cache
 *       u64  checksum    as above
 */
#ifndef SLMI_SESSION_BLOB_H
#define SLMI_SESSION_BLOB_H

#include "session/session.h"

#define SLMI_BLOB_VERSION 2
#define SLMI_BLOB_HEADER 160
#define SLMI_BLOB_CHECKSUM 8

/* A blob's contents; pointers lie in the caller's bytes. */
typedef struct slmi_blob {
    uint32_t version, kv_type;
    uint64_t model;
    uint32_t n_tokens, n_requested, n_cached;
    uint32_t n_prefix;
    uint64_t fingerprint;
    uint32_t hidden_begin, hidden_end;
    slmi_params params;
    uint32_t token_bytes;
    uint32_t n_tail;
    char tail[3];
    uint64_t page_bytes;  /* version 1 */
    const uint8_t *name;  /* [64] */
    const uint8_t *tokens; /* [n_tokens - n_prefix] of token_bytes each */
    uint64_t tokens_offset;
    const uint8_t *cache;
    uint64_t cache_bytes;
} slmi_blob;

/* Reads and checks everything that can be checked without the model. */
slm_status slmi_blob_parse(const uint8_t *bytes, size_t length, slmi_blob *blob, slm_error *err);

/* Bytes of a blob of version 2 with these contents, and its header and checksum into bytes of that size. */
uint64_t slmi_blob_bytes(const slmi_blob *blob);
void slmi_blob_write_header(const slmi_blob *blob, uint8_t *bytes);
void slmi_blob_write_checksum(uint8_t *bytes, uint64_t size);

/* Where the tokens and the cache begin. */
uint64_t slmi_blob_tokens_offset(void);
uint64_t slmi_blob_cache_offset(const slmi_blob *blob);

void slmi_blob_describe(const slmi_blob *blob, slm_saved_info *info);

/* What is done with the cache's parts, which stand in a blob one behind the other: keys of lanes
 * [first, first + n) of one panel, and n rows of values, all of width d. They lie in the sequence's pages. */
typedef struct slmi_blob_visitor {
    void (*keys)(void *ctx, uint32_t d, uint8_t *panel, uint32_t first, uint32_t n);
    void (*values)(void *ctx, uint32_t d, uint8_t *rows, uint32_t n);
} slmi_blob_visitor;

/* Goes through all parts of the cache in their order. */
void slmi_blob_walk(const slmi_blob *blob, const slm_session *session, const slmi_sequence *sequence,
                    const slmi_blob_visitor *visitor, void *ctx);

/* Bytes of the cache of these tokens in a blob of version 2. */
uint64_t slmi_blob_cache_bytes(const slmi_blob *blob, const slmi_plan *plan);

#endif
