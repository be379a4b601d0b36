/* SPDX-License-Identifier: Apache-2.0
 *
 * vocab_parts.c - the small tools under all readers and writers of vocabularies.
 *
 * A vocabulary file is a stranger's, and it is big: a Llama 3 file has 128,256 tokens and 280,147
 * merges of two names each. So every look-up goes through one hash table, and the table's hash is
 * a polynomial modulo 2^61 - 1, because then the hashes of all prefixes and suffixes of a token
 * follow from one pass over it. That is what keeps merges_from_ranks() linear: it asks for both
 * halves of every split of every token, and hashing each half anew would cost the square of the
 * token's length (a hostile file may hold tokens of 65,535 bytes).
 *
 * Begin reading at token_map_init().
 */
#include "formats/vocab_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/unicode.h"

/* ---- the GPT-2 spelling ---- */

static uint32_t spelling_of(uint8_t b)
{
    if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) return b;
    if (b <= 32) return 256u + b;
    if (b <= 160) return 256u + 33u + (b - 127u);
    return 256u + 67u; /* 173 */
}

/* The byte that code point `cp` stands for, or -1. */
static int byte_of(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255))
        return (int)cp;
    if (cp < 256 || cp > 256 + 67) return -1;
    const uint32_t i = cp - 256;
    if (i <= 32) return (int)i;
    return i <= 66 ? (int)(i - 33 + 127) : 173;
}

bool spelling_to_bytes(const char *s, size_t n, char *out, size_t *n_out)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        bool is_bad = false;
        i += (size_t)utf8_decode((const uint8_t *)s + i, n - i, &cp, &is_bad);
        const int b = is_bad ? -1 : byte_of(cp);
        if (b < 0) return false;
        out[used++] = (char)b;
    }
    *n_out = used;
    return true;
}

size_t spelling_of_bytes(const char *bytes, size_t n, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        uint8_t utf8[4];
        const int k = utf8_encode(spelling_of((uint8_t)bytes[i]), utf8);
        memcpy(out + used, utf8, (size_t)k);
        used += (size_t)k;
    }
    return used;
}

/* ---- texts ---- */

bool text_block_init(struct text_block *b, struct vocab *v, size_t n_bytes, size_t n_texts,
                     struct err *err)
{
    size_t total = 0;
    if (!size_add(n_bytes, n_texts, &total))
        return err_set(err, ERR_MEMORY, "tokens: %zu bytes of text are too many", n_bytes);
    b->at = arena_array(v->arena, total, 1, err);
    b->n_left = total;
    return b->at != NULL;
}

const char *text_block_cut(struct text_block *b, const char *s, size_t n)
{
    assert(n < b->n_left);
    char *at = b->at;
    if (n) memcpy(at, s, n);
    at[n] = '\0';
    b->at += n + 1;
    b->n_left -= n + 1;
    return at;
}

/* ---- tokens ---- */

bool vocab_tokens_init(struct vocab *v, int32_t n_tokens, struct err *err)
{
    v->tokens = arena_array(v->arena, (size_t)n_tokens, sizeof *v->tokens, err);
    if (!v->tokens) return false;
    v->n_tokens = n_tokens;
    for (int32_t i = 0; i < n_tokens; i++)
        v->tokens[i] = (struct vocab_token){.bytes = "", .kind = TOKEN_UNUSED};
    return true;
}

void vocab_put_token(struct vocab *v, struct text_block *b, int32_t id, enum token_kind kind,
                     const char *s, size_t n)
{
    struct vocab_token *t = &v->tokens[id];
    size_t n_bytes = n;
    const bool is_spelled = v->model == VOCAB_BPE && kind == TOKEN_NORMAL;
    assert(n < b->n_left);
    t->kind = kind;
    if (kind == TOKEN_NORMAL && n == 0) t->kind = TOKEN_UNUSED;
    if (is_spelled && spelling_to_bytes(s, n, b->at, &n_bytes)) {
        t->bytes = b->at;
        b->at[n_bytes] = '\0';
        b->at += n_bytes + 1;
        b->n_left -= n_bytes + 1;
    } else {
        if (is_spelled) t->kind = TOKEN_UNUSED;
        n_bytes = n;
        t->bytes = text_block_cut(b, s, n);
    }
    t->n_bytes = n_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)n_bytes; /* refused by vocab_check */
}

bool vocab_put_template(struct vocab *v, const char *s, size_t n, const char *name,
                        const char *place, struct err *err)
{
    if (n > VOCAB_MAX_TEMPLATE_BYTES)
        return err_set(
            err, ERR_LIMIT,
            "%s: %s: the chat template has %zu bytes, at most %u are allowed; shorten it", name,
            place, n, VOCAB_MAX_TEMPLATE_BYTES);
    if (n && memchr(s, 0, n))
        return err_set(err, ERR_FORMAT,
                       "%s: %s: the chat template holds a zero byte; fetch the file again", name,
                       place);
    v->chat_template = n ? arena_copy(v->arena, s, n, err) : NULL;
    return n == 0 || v->chat_template;
}

static bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

bool is_byte_spelling(const char *s, size_t n)
{
    return n == 6 && memcmp(s, "<0x", 3) == 0 && is_hex(s[3]) && is_hex(s[4]) && s[5] == '>';
}

/* ---- bytes to id ---- */

#define HASH_PRIME ((UINT64_C(1) << 61) - 1)
#define HASH_BASE UINT64_C(0x0f3a5c71d29b864e) /* any number of 60 bits with no pattern */

static uint64_t mul_mod(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    const u128 p = (u128)a * b;
    uint64_t r = (uint64_t)(p & HASH_PRIME) + (uint64_t)(p >> 61);
    if (r >= HASH_PRIME) r -= HASH_PRIME;
    return r;
}

/* The hash of a text whose hash so far is `h`, one byte longer. */
static uint64_t hash_push(uint64_t h, char c)
{
    const uint64_t r = mul_mod(h, HASH_BASE) + (uint8_t)c + 1;
    return r >= HASH_PRIME ? r - HASH_PRIME : r;
}

static uint64_t hash_bytes(const char *s, size_t n)
{
    uint64_t h = 0;
    for (size_t i = 0; i < n; i++) h = hash_push(h, s[i]);
    return h;
}

/* Where hash `h` begins to look: the low bits of the polynomial alone are poor for short texts. */
static size_t slot_of(const struct token_map *m, uint64_t h)
{
    return (size_t)((h * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & m->mask;
}

static int32_t find_hashed(const struct token_map *m, uint64_t h, const char *bytes, size_t n)
{
    for (size_t i = slot_of(m, h);; i = (i + 1) & m->mask) {
        const int32_t id = m->slot[i];
        if (id < 0) return -1;
        const struct vocab_token *t = &m->v->tokens[id];
        if (m->hash[i] == h && t->n_bytes == n && memcmp(t->bytes, bytes, n) == 0) return id;
    }
}

static void insert(struct token_map *m, int32_t id)
{
    const struct vocab_token *t = &m->v->tokens[id];
    const uint64_t h = hash_bytes(t->bytes, t->n_bytes);
    if (find_hashed(m, h, t->bytes, t->n_bytes) >= 0) return;
    size_t i = slot_of(m, h);
    while (m->slot[i] >= 0) i = (i + 1) & m->mask;
    m->slot[i] = id;
    m->hash[i] = h;
}

bool token_map_init(struct token_map *m, const struct vocab *v, struct err *err)
{
    *m = (struct token_map){.v = v};
    size_t cap = 16;
    while (cap < 2 * (size_t)v->n_tokens) cap *= 2;
    m->mask = cap - 1;
    m->slot = malloc(cap * sizeof *m->slot);
    m->hash = malloc(cap * sizeof *m->hash);
    if (!m->slot || !m->hash) {
        token_map_release(m);
        return err_set(err, ERR_MEMORY, "no memory to index %d tokens; close other programs",
                       v->n_tokens);
    }
    memset(m->slot, 0xff, cap * sizeof *m->slot);
    for (int32_t id = 0; id < v->n_tokens; id++)
        if (v->tokens[id].kind == TOKEN_NORMAL) insert(m, id);
    for (int32_t id = 0; id < v->n_tokens; id++)
        if (v->tokens[id].kind != TOKEN_NORMAL) insert(m, id);
    return true;
}

void token_map_release(struct token_map *m)
{
    free(m->slot);
    free(m->hash);
    *m = (struct token_map){0};
}

int32_t token_map_find(const struct token_map *m, const char *bytes, size_t n)
{
    return find_hashed(m, hash_bytes(bytes, n), bytes, n);
}

int32_t token_map_find_spelled(const struct token_map *m, const char *s, size_t n)
{
    char bytes[8192];
    size_t n_bytes = 0;
    if (n > sizeof bytes || !spelling_to_bytes(s, n, bytes, &n_bytes)) return -1;
    return token_map_find(m, bytes, n_bytes);
}

static bool is_special(const struct vocab_token *t)
{
    return t->kind == TOKEN_CONTROL || t->kind == TOKEN_USER || t->kind == TOKEN_UNKNOWN;
}

bool token_map_check(const struct token_map *m, const char *name, struct err *err)
{
    for (int32_t id = 0; id < m->v->n_tokens; id++) {
        const struct vocab_token *t = &m->v->tokens[id];
        if (t->n_bytes == 0 || (t->kind != TOKEN_NORMAL && !is_special(t))) continue;
        const int32_t found = token_map_find(m, t->bytes, t->n_bytes);
        if (found == id) continue;
        const struct vocab_token *other = &m->v->tokens[found];
        if (t->kind == TOKEN_NORMAL ? other->kind == TOKEN_NORMAL : is_special(other))
            return err_set(err, ERR_FORMAT,
                           "%s: tokens %d and %d have the same text; fetch the file again", name,
                           found, id);
    }
    return true;
}

/* ---- merges that are only implied ---- */

/* One pass over the bytes of a token: hash of each prefix, power of the base for each length. */
struct split_hashes {
    uint64_t *prefix; /* [n + 1] */
    uint64_t *power;  /* [n + 1] */
};

static uint64_t suffix_hash(const struct split_hashes *s, size_t n, size_t at)
{
    const uint64_t head = mul_mod(s->prefix[at], s->power[n - at]);
    const uint64_t whole = s->prefix[n];
    return whole >= head ? whole - head : whole + HASH_PRIME - head;
}

static int by_halves(const void *a, const void *b)
{
    const struct vocab_merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

static bool is_part(const struct vocab *v, int32_t id)
{
    return id >= 0 && v->tokens[id].kind == TOKEN_NORMAL;
}

/* Appends the splits of token `id`; `out` has room for all its inner places. */
static int32_t split_token(const struct token_map *m, const struct split_hashes *s, int32_t id,
                           struct vocab_merge *out)
{
    const struct vocab_token *t = &m->v->tokens[id];
    const size_t n = t->n_bytes;
    for (size_t i = 0; i < n; i++) s->prefix[i + 1] = hash_push(s->prefix[i], t->bytes[i]);
    int32_t n_out = 0;
    for (size_t i = 1; i < n; i++) {
        const int32_t left = find_hashed(m, s->prefix[i], t->bytes, i);
        if (!is_part(m->v, left)) continue;
        const int32_t right = find_hashed(m, suffix_hash(s, n, i), t->bytes + i, n - i);
        if (is_part(m->v, right)) out[n_out++] = (struct vocab_merge){left, right};
    }
    qsort(out, (size_t)n_out, sizeof *out, by_halves);
    return n_out;
}

struct ranked {
    float score;
    int32_t id;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The normal tokens in the order of their ranks; returns how many. */
static int32_t rank_tokens(const struct vocab *v, struct ranked *order)
{
    int32_t n = 0;
    for (int32_t id = 0; id < v->n_tokens; id++)
        if (v->tokens[id].kind == TOKEN_NORMAL)
            order[n++] = (struct ranked){v->model == VOCAB_SPM ? v->tokens[id].score : 0.0f, id};
    qsort(order, (size_t)n, sizeof *order, by_rank);
    return n;
}

void merge_list_release(struct merge_list *l)
{
    free(l->merge);
    *l = (struct merge_list){0};
}

bool merges_from_ranks(const struct vocab *v, struct merge_list *out, struct err *err)
{
    bool ok = false;
    struct token_map map = {0};
    struct split_hashes s = {0};
    size_t longest = 1, n_places = 1;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        const size_t n = v->tokens[id].n_bytes;
        if (n > longest) longest = n;
        n_places += n;
    }
    struct merge_list list = {.merge = malloc(n_places * sizeof *list.merge)};
    struct ranked *order = malloc(((size_t)v->n_tokens + 1) * sizeof *order);
    s.prefix = calloc(longest + 1, sizeof *s.prefix);
    s.power = calloc(longest + 1, sizeof *s.power);
    if (n_places > INT32_MAX || !list.merge || !order || !s.prefix || !s.power) {
        err_set(err, ERR_MEMORY, "no memory to rebuild the merges of %d tokens", v->n_tokens);
        goto out;
    }
    if (!token_map_init(&map, v, err)) goto out;
    s.power[0] = 1;
    for (size_t i = 0; i < longest; i++) s.power[i + 1] = mul_mod(s.power[i], HASH_BASE);
    const int32_t n_order = rank_tokens(v, order);
    for (int32_t i = 0; i < n_order; i++)
        list.n += split_token(&map, &s, order[i].id, list.merge + list.n);
    *out = list;
    list = (struct merge_list){0};
    ok = true;
out:
    token_map_release(&map);
    merge_list_release(&list);
    free(order);
    free(s.prefix);
    free(s.power);
    return ok;
}

/* ---- specials ---- */

/* Texts that end an answer where a template uses them: the turn's end, then the text's. */
static const char *const end_texts[] = {
    "<|eot_id|>",      "<|im_end|>",    "<end_of_turn>", "<|end|>", "<|eom_id|>",
    "<|end_of_text|>", "<|endoftext|>", "</s>",          NULL,
};
#define N_TURN_ENDS 4 /* the first rows of end_texts */

int32_t vocab_find_text(const struct vocab *v, const char *text)
{
    const size_t n = strlen(text);
    int32_t found = -1;
    for (int32_t id = 0; id < v->n_tokens; id++) {
        const struct vocab_token *t = &v->tokens[id];
        if (t->n_bytes != n || memcmp(t->bytes, text, n) != 0) continue;
        if (t->kind == TOKEN_CONTROL || t->kind == TOKEN_USER) return id;
        if (found < 0) found = id;
    }
    return found;
}

static bool is_stop(const struct vocab *v, int32_t id)
{
    for (int32_t i = 0; i < v->n_stop; i++)
        if (v->stop[i] == id) return true;
    return false;
}

void vocab_finish(struct vocab *v)
{
    vocab_add_stop(v, v->eos);
    vocab_add_stop(v, v->eot);
    vocab_add_stop(v, v->eom);
    for (size_t i = 0; end_texts[i]; i++) {
        const int32_t id = vocab_find_text(v, end_texts[i]);
        if (id < 0 || v->tokens[id].kind == TOKEN_NORMAL) continue;
        if (v->chat_template && strstr(v->chat_template, end_texts[i])) vocab_add_stop(v, id);
        if (!is_stop(v, id)) continue;
        if (v->eot < 0 && i < N_TURN_ENDS) v->eot = id;
        if (v->eom < 0 && strcmp(end_texts[i], "<|eom_id|>") == 0) v->eom = id;
    }
}

bool vocab_finish_checked(struct vocab *v, const char *name, struct err *err)
{
    if (!vocab_check(v, name, err)) return false;
    vocab_finish(v);
    return true;
}

float spm_score_by_rule(int32_t id, int32_t first)
{
    return id <= first ? 0.0f : -(float)(id - first); /* never -0 */
}

int32_t spm_first_normal(const struct vocab *v)
{
    int32_t id = 0;
    while (id < v->n_tokens && v->tokens[id].kind != TOKEN_NORMAL) id++;
    return id;
}

/* ---- pre-tokenizers ---- */

#define REGEX_LLAMA3                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"                      \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REGEX_LLAMA3_CLASSES                                                                       \
    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"     \
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define REGEX_GPT2                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define REGEX_GPT2_GROUPED                                                                         \
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define REGEX_GPT2_SHORT                                                                           \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"

const struct pretok_name pretok_names[] = {
    /* aliases: spec/inference.md d3 */
    /* clang-format off */
    /* gguf         regex                  family */
    {"llama-bpe",   REGEX_LLAMA3,          PRETOK_LLAMA3},
    {"llama3",      REGEX_LLAMA3_CLASSES,  PRETOK_LLAMA3},
    {"llama-v3",    NULL,                  PRETOK_LLAMA3},
    {"dbrx",        NULL,                  PRETOK_LLAMA3},
    {"smaug-bpe",   NULL,                  PRETOK_LLAMA3},
    {"gpt-2",       REGEX_GPT2,            PRETOK_GPT2},
    {"phi-2",       REGEX_GPT2_GROUPED,    PRETOK_GPT2},
    {"mpt",         REGEX_GPT2_SHORT,      PRETOK_GPT2},
    {"olmo",        NULL,                  PRETOK_GPT2},
    {"jais",        NULL,                  PRETOK_GPT2},
    {"smollm",      NULL,                  PRETOK_SMOLLM},
    {"starcoder",   NULL,                  PRETOK_SMOLLM},
    {"refact",      NULL,                  PRETOK_SMOLLM},
    {"command-r",   NULL,                  PRETOK_SMOLLM},
    {"codeshell",   NULL,                  PRETOK_SMOLLM},
    {"exaone",      NULL,                  PRETOK_SMOLLM},
    {"default",     NULL,                  PRETOK_UNKNOWN}, /* "not known" in old files */
    {NULL,          NULL,                  PRETOK_UNKNOWN},
    /* clang-format on */
};
