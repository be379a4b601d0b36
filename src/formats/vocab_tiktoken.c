/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_tiktoken.c - Llama 3's tokenizer.model: tiktoken ranks as text (spec/llama3.md 2.1).
 *
 * A line is "BASE64 RANK": the bytes of a token, and its id, which is also the order of its merge.
 * There is no list of merges and there are no special tokens: those 256 follow the ranks by rule,
 * under the names of April 2024 or of Llama 3.1 (2.4, 2.5). Ranks may come in any order; each from
 * 0 to their number must be there once.
 *
 * Begin reading at vocab_from_tiktoken().
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/vocab_parts.h"

enum { N_SPECIALS = 256, MAX_NAME_BYTES = 40 };

/* Where a special token stands after the ranks; all others are reserved ones, numbered in turn. */
static const struct special_name {
    int32_t at;
    const char *v30, *v31; /* NULL: reserved */
} special_names[] = {
    /* clang-format off */
    /* at  Llama 3                   Llama 3.1 */
    { 0,  "<|begin_of_text|>",      "<|begin_of_text|>"},
    { 1,  "<|end_of_text|>",        "<|end_of_text|>"},
    { 4,  NULL,                     "<|finetune_right_pad_id|>"},
    { 5,  NULL,                     "<|step_id|>"},
    { 6,  "<|start_header_id|>",    "<|start_header_id|>"},
    { 7,  "<|end_header_id|>",      "<|end_header_id|>"},
    { 8,  NULL,                     "<|eom_id|>"},
    { 9,  "<|eot_id|>",             "<|eot_id|>"},
    {10,  NULL,                     "<|python_tag|>"},
    {11,  NULL,                     "<|image|>"},
    {-1,  NULL,                     NULL},
    /* clang-format on */
};

struct source {
    const char *at, *end;
    const char *name;
    uint64_t line;
    struct err *err;
};

/* The next line that is not empty, without its end; false at the end of the file. */
static bool next_line(struct source *r, const char **s, size_t *n)
{
    while (r->at < r->end) {
        const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
        if (!stop) stop = r->end;
        *s = r->at;
        *n = (size_t)(stop - r->at);
        r->at = stop < r->end ? stop + 1 : r->end;
        r->line++;
        if (*n && (*s)[*n - 1] == '\r') --*n;
        if (*n) return true;
    }
    return false;
}

static bool bad_line(const struct source *r, const char *what)
{
    return err_set(r->err, ERR_FORMAT, "%s: line %" PRIu64 ": %s; fetch the file again", r->name,
                   r->line, what);
}

/* ---- base64 (RFC 4648), with its padding ---- */

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Writes at most 3 n / 4 bytes; false if s[0..n) is not base64. */
static bool from_base64(const char *s, size_t n, char *out, size_t *n_out)
{
    if (n == 0 || n % 4 != 0) return false;
    const size_t n_pad = s[n - 1] != '=' ? 0u : s[n - 2] != '=' ? 1u : 2u;
    size_t used = 0;
    for (size_t i = 0; i < n; i += 4) {
        const size_t n_digits = i + 4 < n ? 4 : 4 - n_pad;
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            const int d = k < n_digits ? digit_of(s[i + k]) : 0;
            if (d < 0) return false;
            bits = bits << 6 | (uint32_t)d;
        }
        for (size_t k = 0; k + 1 < n_digits; k++) out[used++] = (char)(bits >> (16 - 8 * k) & 0xFF);
        const uint32_t rest = n_digits == 4 ? 0 : bits & ((1u << (8 * (4 - n_digits))) - 1);
        if (rest) return false; /* bits that belong to no byte: another spelling of the same */
    }
    *n_out = used;
    return true;
}

/* ---- ranks ---- */

static bool read_rank(const struct source *r, const char *s, size_t n, int32_t n_ranks,
                      int32_t *out)
{
    uint64_t v = 0;
    bool ok = n >= 1 && n <= 9;
    for (size_t i = 0; ok && i < n; i++) {
        ok = s[i] >= '0' && s[i] <= '9';
        v = 10 * v + (uint64_t)(s[i] - '0');
    }
    if (!ok) return bad_line(r, "has no rank after the token");
    if (v >= (uint64_t)n_ranks)
        return err_set(r->err, ERR_FORMAT,
                       "%s: line %" PRIu64 ": rank %" PRIu64 ", allowed are 0 to %d for %d lines; "
                       "fetch the file again",
                       r->name, r->line, v, n_ranks - 1, n_ranks);
    *out = (int32_t)v;
    return true;
}

static bool read_ranks(struct source *r, struct vocab *v, int32_t n_ranks, struct text_block *block)
{
    char bytes[VOCAB_MAX_TOKEN_BYTES / 16]; /* honest ones have up to 128 (2.1) */
    const char *s = NULL;
    size_t n = 0;
    while (next_line(r, &s, &n)) {
        const char *space = memchr(s, ' ', n);
        const size_t n_digits = space ? (size_t)(space - s) : n;
        size_t n_bytes = 0;
        int32_t id = 0;
        if (n_digits / 4 * 3 > sizeof bytes) return bad_line(r, "the token has over 4,095 bytes");
        if (!from_base64(s, n_digits, bytes, &n_bytes))
            return bad_line(r, "does not begin with a token in base64");
        if (!space) return bad_line(r, "has no rank after the token");
        if (!read_rank(r, space + 1, n - n_digits - 1, n_ranks, &id)) return false;
        if (v->tokens[id].kind == TOKEN_NORMAL) return bad_line(r, "its rank was there before");
        v->tokens[id] = (struct vocab_token){.bytes = text_block_cut(block, bytes, n_bytes),
                                             .n_bytes = (uint32_t)n_bytes,
                                             .kind = TOKEN_NORMAL};
    }
    return true;
}

static void add_specials(struct vocab *v, int32_t first, bool is_llama31, struct text_block *block)
{
    const struct special_name *row = special_names;
    int n_reserved = 0;
    for (int32_t i = 0; i < N_SPECIALS; i++) {
        char reserved[MAX_NAME_BYTES];
        const char *text = NULL;
        if (row->at == i) {
            text = is_llama31 ? row->v31 : row->v30;
            row++;
        }
        if (!text) {
            (void)snprintf(reserved, sizeof reserved, "<|reserved_special_token_%d|>",
                           n_reserved++);
            text = reserved;
        }
        vocab_put_token(v, block, first + i, TOKEN_CONTROL, text, strlen(text));
    }
    v->bos = first;
    v->eos = first + 1;
    v->eot = first + 9;
    v->eom = is_llama31 ? first + 8 : -1;
    v->pad = is_llama31 ? first + 4 : -1;
}

static bool count_ranks(struct source r, int32_t *out)
{
    static const char pointer[] = "version https://git-lfs";
    const char *s = NULL;
    size_t n = 0;
    int64_t n_ranks = 0;
    if ((size_t)(r.end - r.at) > sizeof pointer && memcmp(r.at, pointer, sizeof pointer - 1) == 0)
        return err_set(r.err, ERR_FORMAT,
                       "%s: is a git-lfs pointer, not the file itself; run: git lfs pull", r.name);
    while (next_line(&r, &s, &n)) n_ranks++;
    if (n_ranks < 1 || n_ranks > VOCAB_MAX_TOKENS - N_SPECIALS)
        return err_set(r.err, ERR_FORMAT,
                       "%s: has %" PRId64 " tokens, allowed are 1 to %d; fetch the file again",
                       r.name, n_ranks, VOCAB_MAX_TOKENS - N_SPECIALS);
    *out = (int32_t)n_ranks;
    return true;
}

static bool read_all(struct source *r, struct vocab *v, bool is_llama31)
{
    int32_t n_ranks = 0;
    struct text_block block;
    struct token_map map = {0};
    const size_t n_text = (size_t)(r->end - r->at) + N_SPECIALS * MAX_NAME_BYTES;
    if (!count_ranks(*r, &n_ranks) || !vocab_tokens_init(v, n_ranks + N_SPECIALS, r->err) ||
        !text_block_init(&block, v, n_text, (size_t)v->n_tokens, r->err) ||
        !read_ranks(r, v, n_ranks, &block))
        return false;
    add_specials(v, n_ranks, is_llama31, &block);
    const bool ok = token_map_init(&map, v, r->err) && token_map_check(&map, r->name, r->err);
    token_map_release(&map);
    return ok;
}

struct vocab *vocab_from_tiktoken(const uint8_t *data, size_t n_bytes, const char *name,
                                  bool is_llama31, struct err *err)
{
    struct vocab *v = vocab_new(err);
    if (!v) return NULL;
    const char *at = (const char *)data;
    struct source r = {.at = at, .end = at + n_bytes, .name = name, .err = err};
    v->model = VOCAB_BPE;
    v->pretok = PRETOK_LLAMA3;
    v->ignores_merges = true;
    v->adds_bos = true;
    if (n_bytes && read_all(&r, v, is_llama31) && vocab_finish_checked(v, name, err)) return v;
    if (n_bytes == 0) err_set(err, ERR_FORMAT, "%s: the file is empty; fetch it again", name);
    vocab_free(v);
    return NULL;
}
