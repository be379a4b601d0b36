/* SPDX-License-Identifier: Apache-2.0
 *
 * spm.c - SentencePiece's "bpe" model: every character is a symbol, the pair whose text has the
 * highest score is merged first, leftmost on ties (Kudo & Richardson 2018), and a character that
 * is no token becomes its bytes <0xNN>, or the unknown token once for a whole run.
 *
 * There is no pre-tokenizer: in principle the whole text is one piece. But in every vocabulary of
 * the Llama family U+2581, the space, occurs only at the beginning of tokens, so nothing merges
 * across the place where a word begins, and cutting there changes nothing. spm_init() checks that
 * this holds (cuts_at_spaces); then words are short, live on the stack, and a word that is a token
 * (and merges to itself, checked at the start) needs no merging. Otherwise the text goes whole
 * through the heap.
 *
 * Only normal and user tokens take part: text that spells a control token, an unused one or <0x0A>
 * is ordinary text, as in sentencepiece.
 */
#include "text/spm.h"

#include <stdlib.h>

#include "text/merge.h"
#include "text/unicode.h"

static const char space_mark[3] = {'\xE2', '\x96', '\x81'}; /* U+2581 */

/* A number that is smaller for a higher score: the bits of a float in the order of its value. */
static uint32_t score_rank(float score)
{
    uint32_t bits = 0;
    memcpy(&bits, &score, sizeof bits);
    const uint32_t rising = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    const uint32_t rank = ~rising;
    return rank == MERGE_NONE ? MERGE_NONE - 1 : rank;
}

static inline uint32_t rank_by_score(const void *rule, const uint8_t *s, struct merge_pair p,
                                     int32_t *made)
{
    const struct spm *m = rule;
    const size_t n = p.end - p.begin;
    const uint32_t meta = token_index_meta(&m->index, s + p.begin, n, n);
    if (!meta) return MERGE_NONE;
    *made = token_meta_id(meta);
    return score_rank(m->vocab->tokens[*made].score);
}

static const struct merge_rule by_score = {rank_by_score, rank_by_score, false};

static size_t char_bytes(const uint8_t *s, size_t n)
{
    uint32_t cp = 0;
    bool is_bad = false;
    return (size_t)utf8_decode(s, n, &cp, &is_bad);
}

/* Characters of a text of at most MERGE_SHORT bytes, merged; start[result] is the end. */
static uint32_t merge_word(const struct spm *m, const uint8_t *s, size_t n, int32_t *id,
                           uint32_t *start)
{
    uint32_t n_sym = 0;
    for (size_t at = 0; at < n; n_sym++) {
        const size_t n_char = char_bytes(s + at, n - at);
        id[n_sym] = token_index_find(&m->index, s + at, n_char);
        start[n_sym] = (uint32_t)at;
        at += n_char;
    }
    start[n_sym] = (uint32_t)n;
    uint32_t highest = 0;
    return merge_short(by_score, m, s, id, start, n_sym, 1, &highest);
}

/* A symbol to ids: itself, or its bytes, or the unknown token unless that has just been said. */
static bool push_symbol(const struct spm *m, const uint8_t *s, size_t n, int32_t id, bool *is_unk,
                        struct ids *out, struct err *err)
{
    const bool was_unk = *is_unk;
    *is_unk = false;
    if (id >= 0) return ids_push(out, id, err);
    bool has_bytes = true;
    for (size_t i = 0; i < n; i++) has_bytes = has_bytes && m->byte_id[s[i]] >= 0;
    if (!has_bytes) {
        *is_unk = true;
        return was_unk || m->vocab->unk < 0 || ids_push(out, m->vocab->unk, err);
    }
    for (size_t i = 0; i < n; i++)
        if (!ids_push(out, m->byte_id[s[i]], err)) return false;
    return true;
}

static bool encode_word(const struct spm *m, const uint8_t *s, size_t n, bool *is_unk,
                        struct ids *out, struct err *err)
{
    int32_t id[MERGE_SHORT];
    uint32_t start[MERGE_SHORT + 1];
    const uint32_t n_sym = merge_word(m, s, n, id, start);
    for (uint32_t i = 0; i < n_sym; i++)
        if (!push_symbol(m, s + start[i], start[i + 1] - start[i], id[i], is_unk, out, err))
            return false;
    return true;
}

static bool encode_long(const struct spm *m, const uint8_t *s, size_t n,
                        struct merge_scratch *scratch, bool *is_unk, struct ids *out,
                        struct err *err)
{
    if (!merge_scratch_fit(scratch, n, err)) return false;
    struct merge_node *node = scratch->node;
    uint32_t n_sym = 0;
    for (size_t at = 0; at < n; n_sym++) {
        const size_t n_char = char_bytes(s + at, n - at);
        node[n_sym].id = token_index_find(&m->index, s + at, n_char);
        node[n_sym].start = (uint32_t)at;
        at += n_char;
    }
    node[n_sym].start = (uint32_t)n;
    merge_long(by_score, m, s, scratch, n_sym);
    for (uint32_t i = 0; i != n_sym; i = node[i].next) {
        const uint32_t begin = node[i].start, end = node[node[i].next].start;
        if (!push_symbol(m, s + begin, end - begin, node[i].id, is_unk, out, err)) return false;
    }
    return true;
}

static bool is_mark(const uint8_t *s, size_t n) { return n >= 3 && memcmp(s, space_mark, 3) == 0; }

/* Where the word that begins at `at` ends: before the next U+2581 that follows something else. */
static size_t word_end(const uint8_t *s, size_t n, size_t at)
{
    while (is_mark(s + at, n - at)) at += 3;
    for (;;) {
        const uint8_t *hit = memchr(s + at, space_mark[0] & 0xFF, n - at);
        if (!hit) return n;
        at = (size_t)(hit - s);
        if (is_mark(hit, n - at)) return at;
        at++;
    }
}

static bool encode_marked(const struct spm *m, const uint8_t *s, size_t n,
                          struct merge_scratch *scratch, struct ids *out, struct err *err)
{
    bool is_unk = false;
    for (size_t at = 0, end = 0; at < n; at = end) {
        end = m->cuts_at_spaces ? word_end(s, n, at) : n;
        const uint32_t meta = token_index_meta(&m->index, s + at, end - at, n - at);
        bool ok = true;
        if (meta & TOKEN_IS_WHOLE) {
            ok = ids_push(out, token_meta_id(meta), err);
            is_unk = false;
        } else if (end - at <= MERGE_SHORT) {
            ok = encode_word(m, s + at, end - at, &is_unk, out, err);
        } else {
            ok = encode_long(m, s + at, end - at, scratch, &is_unk, out, err);
        }
        if (!ok) return false;
    }
    return true;
}

bool spm_encode(const struct spm *m, const uint8_t *s, size_t n, bool has_prefix,
                struct merge_scratch *scratch, struct ids *out, struct err *err)
{
    if (n == 0) return true;
    uint8_t *marked = malloc(3 * (n + 1));
    if (!marked)
        return err_set(err, ERR_MEMORY, "text: no memory for %zu bytes; cut it shorter",
                       3 * (n + 1));
    size_t n_marked = 0;
    for (size_t i = has_prefix ? 0 : 1; i <= n; i++) {
        if (i == 0 || s[i - 1] == ' ') {
            memcpy(marked + n_marked, space_mark, 3);
            n_marked += 3;
        } else {
            marked[n_marked++] = s[i - 1];
        }
    }
    const bool ok = encode_marked(m, marked, n_marked, scratch, out, err);
    free(marked);
    return ok;
}

/* ---- making it ---- */

static bool has_inner_mark(const struct vocab_token *t)
{
    const uint8_t *s = (const uint8_t *)t->bytes;
    return t->n_bytes && word_end(s, t->n_bytes, 0) < t->n_bytes;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

int spm_byte_of(const struct vocab_token *t)
{
    if (t->kind != TOKEN_BYTE || t->n_bytes != 6 || memcmp(t->bytes, "<0x", 3) != 0) return -1;
    const int hi = hex_digit(t->bytes[3]), lo = hex_digit(t->bytes[4]);
    return hi < 0 || lo < 0 || t->bytes[5] != '>' ? -1 : hi * 16 + lo;
}

uint32_t spm_plain_text(const char *s, size_t n, char *out)
{
    uint32_t n_out = 0;
    for (size_t i = 0; i < n; n_out++) {
        const bool is_space = is_mark((const uint8_t *)s + i, n - i);
        out[n_out] = is_space ? ' ' : s[i];
        i += is_space ? 3 : 1;
    }
    out[n_out] = 0;
    return n_out;
}

static void mark_whole(struct spm *m, const struct vocab_token *t, int32_t i)
{
    if (t->n_bytes == 0 || t->n_bytes > MERGE_SHORT) return;
    struct token_key *e = token_index_slot(&m->index, (const uint8_t *)t->bytes, t->n_bytes);
    if (!e || token_meta_id(e->meta) != i) return;
    int32_t id[MERGE_SHORT];
    uint32_t start[MERGE_SHORT + 1];
    if (merge_word(m, (const uint8_t *)t->bytes, t->n_bytes, id, start) == 1 && id[0] == i)
        e->meta |= TOKEN_IS_WHOLE;
}

bool spm_init(struct spm *m, const struct vocab *v, const char *name, struct err *err)
{
    *m = (struct spm){.vocab = v, .cuts_at_spaces = true};
    if (!token_index_init(&m->index, v, false, name, err)) return false;
    for (int i = 0; i < 256; i++) m->byte_id[i] = -1;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        const struct vocab_token *t = &v->tokens[i];
        const int byte = spm_byte_of(t);
        if (byte >= 0) m->byte_id[byte] = i;
        const bool is_text = t->kind == TOKEN_NORMAL || t->kind == TOKEN_USER;
        if (is_text && has_inner_mark(t)) m->cuts_at_spaces = false;
        if (is_text) mark_whole(m, t, i);
    }
    return true;
}

void spm_release(struct spm *m) { token_index_release(&m->index); }
