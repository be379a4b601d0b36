/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.c - hashed keys and their quotas.
 *
 * The file has hashes only, so that who reads it (a backup, an editor's copy) cannot ask. Keys are
 * long random words, for which one SHA-256 is enough; it is not a place for passwords.
 *
 * A quota is a bucket that fills at its rate and holds one minute's worth. Requests are taken when
 * they come; tokens when they are known, at the end, so a bucket may go below zero: the key then
 * waits until it is earned back. That bounds the mean, which is what a quota is for.
 *
 * The file is looked at once a second (time, size, inode) and read whole or not at all: an editor
 * that is half done leaves the old keys in force.
 */
#include "serve/keys.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/log.h"

enum { MAX_FILE_BYTES = 4 << 20, MAX_LINE_WORDS = 5 };

struct bucket {
    double per_minute; /* 0: no limit */
    double left;
    int64_t at_ns; /* when `left` was true; 0: never used, full */
};

struct key {
    char name[KEY_NAME_BYTES];
    uint8_t hash[SHA256_DIGEST_LENGTH];
    struct bucket requests, tokens;
    int32_t priority; /* the lowest number that its requests may have */
};

struct keys {
    char *path; /* NULL: from text */
    struct key *key;
    int n;
    struct stat seen;
    bool has_complained;
};

/* ---- reading ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool parse_hash(const char *word, uint8_t hash[SHA256_DIGEST_LENGTH])
{
    if (strlen(word) != 2 * (size_t)SHA256_DIGEST_LENGTH) return false;
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        const int high = hex_digit(word[2 * i]), low = hex_digit(word[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool parse_quota(const char *word, struct bucket *b)
{
    char *end = NULL;
    b->per_minute = strtod(word, &end);
    return end != word && !*end && b->per_minute >= 0 && b->per_minute <= 1e12;
}

static bool parse_priority(const char *word, int32_t *priority)
{
    char *end = NULL;
    const long v = strtol(word, &end, 10);
    if (end == word || *end || v < -KEY_MAX_PRIORITY || v > KEY_MAX_PRIORITY) return false;
    *priority = (int32_t)v;
    return true;
}

static bool is_name(const char *word)
{
    if (strlen(word) >= KEY_NAME_BYTES) return false;
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && !strchr("-_.@", *word)) return false;
    return true;
}

static bool parse_line(struct keys *k, char *line, const char *name, int i_line, struct err *err)
{
    char *word[MAX_LINE_WORDS + 1], *rest = NULL;
    int n = 0;
    for (char *w = strtok_r(line, " \t\r", &rest); w && n <= MAX_LINE_WORDS;
         w = strtok_r(NULL, " \t\r", &rest))
        word[n++] = w;
    if (n == 0 || word[0][0] == '#') return true;
    struct key key = {0};
    if (n < 2 || n > MAX_LINE_WORDS || !is_name(word[0]) || !parse_hash(word[1], key.hash) ||
        (n > 2 && !parse_quota(word[2], &key.requests)) ||
        (n > 3 && !parse_quota(word[3], &key.tokens)) ||
        (n > 4 && !parse_priority(word[4], &key.priority)))
        return err_set(err, ERR_FORMAT,
                       "%s: line %d is not: NAME SHA256 [REQUESTS/MIN [TOKENS/MIN [PRIORITY]]]; "
                       "make the hash with: printf %%s KEY | sha256sum",
                       name, i_line);
    memcpy(key.name, word[0], strlen(word[0]));
    if (keys_named(k, key.name) >= 0)
        return err_set(err, ERR_FORMAT, "%s: line %d: the name %s stands there twice; rename one",
                       name, i_line, key.name);
    if (k->n == KEYS_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d keys; remove some", name, KEYS_MAX);
    k->key[k->n++] = key;
    return true;
}

struct keys *keys_parse(const char *text, size_t n_bytes, const char *name, struct err *err)
{
    struct keys *k = calloc(1, sizeof *k);
    char *copy = malloc(n_bytes + 1);
    size_t n_lines = 1;
    for (size_t i = 0; i < n_bytes; i++) n_lines += text[i] == '\n';
    if (k) k->key = calloc(n_lines < KEYS_MAX ? n_lines : KEYS_MAX, sizeof *k->key);
    bool ok = (k && copy && k->key) || err_set(err, ERR_MEMORY, "%s: no memory for the keys", name);
    if (ok) {
        memcpy(copy, text, n_bytes);
        copy[n_bytes] = '\0';
        int i_line = 1;
        for (char *line = copy, *next; ok && line; line = next, i_line++) {
            next = strchr(line, '\n');
            if (next) *next++ = '\0';
            ok = parse_line(k, line, name, i_line, err);
        }
    }
    if (ok && k->n == 0)
        ok = err_set(err, ERR_FORMAT, "%s: it holds no key; add a line: NAME SHA256", name);
    free(copy);
    if (ok) return k;
    keys_close(k);
    return NULL;
}

static struct keys *read_keys(const char *path, struct err *err)
{
    struct buf text;
    buf_init(&text, MAX_FILE_BYTES + 1);
    struct keys *k = NULL;
    struct stat st;
    /* before the read: a change in between is seen the next time */
    if (stat(path, &st) != 0) memset(&st, 0, sizeof st);
    if (file_read_all(path, MAX_FILE_BYTES, &text, err))
        k = keys_parse(text.data ? text.data : "", text.n_bytes, path, err);
    if (k) k->seen = st;
    buf_release(&text);
    return k;
}

struct keys *keys_open(const char *path, struct err *err)
{
    struct keys *k = read_keys(path, err);
    if (!k) return NULL;
    k->path = strdup(path);
    if (k->path) return k;
    err_set(err, ERR_MEMORY, "%s: no memory for the keys", path);
    keys_close(k);
    return NULL;
}

void keys_close(struct keys *k)
{
    if (!k) return;
    free(k->path);
    free(k->key);
    free(k);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* What a key has spent goes along with its name. */
static void inherit(struct bucket *b, const struct bucket *old)
{
    if (old->at_ns == 0 || b->per_minute <= 0) return;
    b->at_ns = old->at_ns;
    b->left = old->left < b->per_minute ? old->left : b->per_minute;
}

void keys_refresh(struct keys *k)
{
    struct err err = {0};
    struct stat st;
    if (!k->path || (stat(k->path, &st) == 0 && is_same(&st, &k->seen))) return;
    struct keys *fresh = read_keys(k->path, &err);
    if (!fresh) {
        if (!k->has_complained) log_warn("%s; the keys of before stay in force", err.text);
        k->has_complained = true;
        return;
    }
    for (int i = 0; i < fresh->n; i++) {
        const int old = keys_named(k, fresh->key[i].name);
        if (old < 0) continue;
        inherit(&fresh->key[i].requests, &k->key[old].requests);
        inherit(&fresh->key[i].tokens, &k->key[old].tokens);
    }
    free(k->key);
    k->key = fresh->key;
    k->n = fresh->n;
    k->seen = fresh->seen;
    k->has_complained = false;
    fresh->key = NULL;
    keys_close(fresh);
    log_info("%s: read again, %d key%s", k->path, k->n, k->n == 1 ? "" : "s");
}

/* ---- asking ---- */

int keys_find(const struct keys *k, const char *key, size_t n_bytes)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    int found = -1;
    SHA256((const uint8_t *)key, n_bytes, hash);
    for (int i = 0; i < k->n; i++)
        if (CRYPTO_memcmp(hash, k->key[i].hash, sizeof hash) == 0) found = i;
    return found;
}

const char *key_name(const struct keys *k, int i) { return k->key[i].name; }
int32_t key_priority(const struct keys *k, int i) { return k->key[i].priority; }
int keys_count(const struct keys *k) { return k->n; }

int keys_named(const struct keys *k, const char *name)
{
    for (int i = 0; i < k->n; i++)
        if (strcmp(k->key[i].name, name) == 0) return i;
    return -1;
}

static void fill(struct bucket *b, int64_t now_ns)
{
    const double more = b->per_minute * (double)(now_ns - b->at_ns) * (1e-9 / 60);
    b->left = b->at_ns == 0 || b->left + more > b->per_minute ? b->per_minute : b->left + more;
    b->at_ns = now_ns;
}

/* Seconds until there is `wanted` in it. */
static int wait_s(const struct bucket *b, double wanted)
{
    const double s = ceil((wanted - b->left) * 60 / b->per_minute);
    return s < 1 ? 1 : s > 3600 ? 3600 : (int)s;
}

bool key_admit(struct keys *k, int i, int64_t now_ns, struct refusal *r)
{
    struct key *key = &k->key[i];
    const bool counts_requests = key->requests.per_minute > 0;
    const bool counts_tokens = key->tokens.per_minute > 0;
    if (counts_requests) fill(&key->requests, now_ns);
    if (counts_tokens) fill(&key->tokens, now_ns);
    if (counts_requests && key->requests.left < 1) {
        refuse(r, REFUSAL_QUOTA, NULL, "key %s: its %.0f requests a minute are used up", key->name,
               key->requests.per_minute);
        r->retry_s = wait_s(&key->requests, 1);
        return false;
    }
    if (counts_tokens && key->tokens.left <= 0) {
        refuse(r, REFUSAL_QUOTA, NULL, "key %s: its %.0f tokens a minute are used up", key->name,
               key->tokens.per_minute);
        r->retry_s = wait_s(&key->tokens, 1);
        return false;
    }
    if (counts_requests) key->requests.left -= 1;
    return true;
}

void key_spend(struct keys *k, int i, int64_t now_ns, int64_t n_tok)
{
    struct bucket *b = &k->key[i].tokens;
    if (b->per_minute <= 0) return;
    fill(b, now_ns);
    b->left -= (double)n_tok;
}
