/* keys.h - who may ask: a file of hashed keys, each with quotas, read anew when it changes.
 *
 *     # name  SHA-256 of the key, in hex   requests a minute   tokens a minute   priority
 *     alice   2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae  60  20000  -10
 *     bob     fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
 *
 * (`printf %s KEY | sha256sum`). A missing quota or 0 is none. The priority is the lowest number
 * that the key's requests may have, 0 if it is missing. One thread at a time.
 */
#ifndef CRIA_SERVE_KEYS_H
#define CRIA_SERVE_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "serve/refusal.h"

#define KEYS_MAX 10000
#define KEY_NAME_BYTES 40
#define KEY_MAX_PRIORITY 1000 /* and down to its negative */

struct keys;

/* Reads the file, which must hold a key. ERR_FORMAT names the line. */
struct keys *keys_open(const char *path, struct err *err);
/* The same from text; `name` for messages. */
struct keys *keys_parse(const char *text, size_t n_bytes, const char *name, struct err *err);
void keys_close(struct keys *k); /* NULL is fine */

/* Reads the file again if it has changed; spent quotas are kept by name. A file that is missing or
 * wrong changes nothing and is logged once. For a call a second. */
void keys_refresh(struct keys *k);

/* The index of a key, or -1; takes the same time wherever it differs. */
int keys_find(const struct keys *k, const char *key, size_t n_bytes);
const char *key_name(const struct keys *k, int i);
int32_t key_priority(const struct keys *k, int i);
int keys_count(const struct keys *k);
/* The index of a name, or -1: an index lasts until the next refresh. */
int keys_named(const struct keys *k, const char *name);

/* Takes one request out of the key's quota and looks whether its tokens are spent; REFUSAL_QUOTA
 * says when to come again. */
bool key_admit(struct keys *k, int i, int64_t now_ns, struct refusal *r);
/* Tokens used; they may go below zero and are earned back. */
void key_spend(struct keys *k, int i, int64_t now_ns, int64_t n_tok);

#endif
