/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_reader.c - reads a vocabulary from a tiktoken file or a dump (vocab_reader.h says their
 * form). Trusting and short: its files are the tests' own.
 */
#include "vocab_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)

struct vocab *test_vocab_new(int32_t n, struct err *err)
{
    struct vocab *v = vocab_new(err);
    if (!v) return NULL;
    v->n_tokens = n;
    v->tokens = arena_array(v->arena, (size_t)n, sizeof *v->tokens, err);
    if (!v->tokens) {
        vocab_free(v);
        return NULL;
    }
    for (int32_t i = 0; i < n; i++) v->tokens[i] = (struct vocab_token){"", 0, 0, TOKEN_NORMAL};
    return v;
}

bool test_vocab_set(struct vocab *v, int32_t id, const char *bytes, size_t n, enum token_kind kind,
                    struct err *err)
{
    const char *copy = arena_copy(v->arena, bytes, n, err);
    if (!copy) return false;
    v->tokens[id] = (struct vocab_token){copy, (uint32_t)n, 0, kind};
    return true;
}

/* As test_vocab_set(), the text cut from a block, as the readers of formats/ do. */
static void set_from_block(struct vocab *v, int32_t id, const char *bytes, size_t n,
                           enum token_kind kind, char **block)
{
    memcpy(*block, bytes, n);
    v->tokens[id] = (struct vocab_token){*block, (uint32_t)n, 0, kind};
    *block += n + 1; /* the arena's memory is zero: NUL-terminated */
}

static size_t from_base64(const char *s, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t n_bits = 0, n_out = 0;
    for (size_t i = 0; i < n && s[i] != '='; i++) {
        const char *d = memchr(digits, s[i], 64);
        bits = bits << 6 | (uint32_t)(d ? d - digits : 0);
        n_bits += 6;
        if (n_bits >= 8) out[n_out++] = (char)(bits >> (n_bits -= 8) & 0xFF);
    }
    return n_out;
}

static size_t from_hex(const char *s, size_t n, char *out)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        const char pair[3] = {s[i], s[i + 1], 0};
        out[i / 2] = (char)strtoul(pair, NULL, 16);
    }
    return n / 2;
}

/* The 256 names that follow the ranks (spec/llama3.md 2.4, 2.5). */
static bool add_llama3_specials(struct vocab *v, int32_t first, bool is_llama31, struct err *err)
{
    static const struct {
        int32_t at;
        const char *v30, *v31;
    } named[] = {
        {0, "<|begin_of_text|>", "<|begin_of_text|>"},
        {1, "<|end_of_text|>", "<|end_of_text|>"},
        {4, NULL, "<|finetune_right_pad_id|>"},
        {5, NULL, "<|step_id|>"},
        {6, "<|start_header_id|>", "<|start_header_id|>"},
        {7, "<|end_header_id|>", "<|end_header_id|>"},
        {8, NULL, "<|eom_id|>"},
        {9, "<|eot_id|>", "<|eot_id|>"},
        {10, NULL, "<|python_tag|>"},
        {11, NULL, "<|image|>"},
    };
    int32_t n_reserved = 0;
    for (int32_t i = 0; i < 256; i++) {
        char text[64] = "";
        for (size_t k = 0; k < sizeof named / sizeof named[0]; k++) {
            const char *name = is_llama31 ? named[k].v31 : named[k].v30;
            if (named[k].at == i && name) snprintf(text, sizeof text, "%s", name);
        }
        if (!text[0])
            snprintf(text, sizeof text, "<|reserved_special_token_%" PRId32 "|>", n_reserved++);
        if (!test_vocab_set(v, first + i, text, strlen(text), TOKEN_CONTROL, err)) return false;
    }
    v->bos = first;
    v->eos = first + 1;
    v->eot = first + 9;
    v->eom = is_llama31 ? first + 8 : -1;
    v->adds_bos = true;
    return true;
}

static struct vocab *read_tiktoken(const char *s, bool is_llama31, struct err *err)
{
    int32_t n = 0;
    for (const char *p = s; *p; p++) n += *p == '\n';
    struct vocab *v = test_vocab_new(n + 256, err);
    char *block = v ? arena_array(v->arena, strlen(s), 1, err) : NULL;
    if (!block) return NULL;
    for (const char *p = s; *p; p = strchr(p, '\n') + 1) {
        char bytes[1024];
        const char *space = strchr(p, ' ');
        const size_t n_bytes = from_base64(p, (size_t)(space - p), bytes);
        set_from_block(v, atoi(space), bytes, n_bytes, TOKEN_NORMAL, &block);
    }
    if (v && !add_llama3_specials(v, n, is_llama31, err)) return NULL;
    if (v) v->ignores_merges = true;
    return v;
}

static struct vocab *read_dump(const char *s, struct err *err)
{
    int32_t n_tokens = 0, n_merges = 0;
    for (const char *p = s; *p; p = strchr(p, '\n') + 1) {
        n_tokens += *p == 'T';
        n_merges += *p == 'M';
    }
    struct vocab *v = test_vocab_new(n_tokens, err);
    char *block = v ? arena_array(v->arena, strlen(s), 1, err) : NULL;
    if (!block) return NULL;
    v->merges = n_merges ? arena_array(v->arena, (size_t)n_merges, sizeof *v->merges, err) : NULL;
    int32_t id = 0;
    for (const char *p = s; *p; p = strchr(p, '\n') + 1) {
        int a[8] = {0};
        char *at = (char *)(uintptr_t)(p + 1); /* for strtol, which does not write */
        char bytes[4096];
        if (*p == 'V') {
            for (int k = 0; k < 8; k++) a[k] = (int)strtol(at, &at, 10);
            v->model = a[0] ? VOCAB_SPM : VOCAB_BPE;
            v->pretok = (enum pretok)a[1];
            v->bos = a[2];
            v->eos = a[3];
            v->unk = a[4];
            v->adds_bos = a[5];
            v->adds_space_prefix = a[6];
            v->ignores_merges = a[7];
        } else if (*p == 'T') {
            a[0] = (int)strtol(at, &at, 10);
            const float score = strtof(at, &at);
            const size_t n = from_hex(at + 1, strcspn(at + 1, "\n"), bytes);
            set_from_block(v, id, bytes, n, (enum token_kind)a[0], &block);
            v->tokens[id++].score = score;
        } else if (*p == 'M') {
            a[0] = (int)strtol(at, &at, 10);
            a[1] = (int)strtol(at, &at, 10);
            v->merges[v->n_merges++] = (struct vocab_merge){a[0], a[1]};
        }
    }
    return v;
}

struct vocab *test_vocab_read(const char *path, bool is_llama31, struct err *err)
{
    struct buf b;
    buf_init(&b, MAX_FILE_BYTES);
    struct vocab *v = NULL;
    if (file_read_all(path, MAX_FILE_BYTES, &b, err))
        v = strncmp(b.data, "V ", 2) == 0 ? read_dump(b.data, err)
                                          : read_tiktoken(b.data, is_llama31, err);
    buf_release(&b);
    return v;
}
