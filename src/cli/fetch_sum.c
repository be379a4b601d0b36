/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch_sum.c - is this the file that was promised? Sums over OpenSSL's EVP.
 *
 * A hub promises SHA-256 for large files, and for small ones git's id of the blob: SHA-1 over
 * "blob N\0" and the N bytes, so the size comes first. SHA-1 no longer withstands an attacker, but
 * the size and the file's own reader stand behind it, and it finds every accident. A system whose
 * policy forbids SHA-1 goes without it.
 */
#include "cli/fetch_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <openssl/evp.h>

#include "base/file.h"

struct fetch_sum {
    const struct fetch_want *w;
    const EVP_MD *kind; /* NULL: nothing to check by */
    EVP_MD_CTX *ctx;
};

struct fetch_sum *fetch_sum_new(const struct fetch_want *w, struct err *err)
{
    struct fetch_sum *s = calloc(1, sizeof *s);
    if (s) {
        s->w = w;
        s->kind = w->sha256 ? EVP_sha256() : w->git_id ? EVP_sha1() : NULL;
        s->ctx = EVP_MD_CTX_new();
        if (s->ctx && s->kind && !w->sha256 && EVP_DigestInit_ex(s->ctx, s->kind, NULL) != 1)
            s->kind = NULL;
    }
    if (s && s->ctx && fetch_sum_restart(s, err)) return s;
    if (err->code == ERR_OK) err_set(err, ERR_MEMORY, "no memory for a sum; free memory");
    fetch_sum_free(s);
    return NULL;
}

void fetch_sum_free(struct fetch_sum *s)
{
    if (!s) return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

bool fetch_sum_restart(struct fetch_sum *s, struct err *err)
{
    if (!s->kind) return true;
    if (EVP_DigestInit_ex(s->ctx, s->kind, NULL) != 1)
        return err_set(err, ERR_UNSUPPORTED, "OpenSSL refuses SHA-256; see its configuration");
    if (s->w->sha256) return true;
    char head[32];
    const int n = snprintf(head, sizeof head, "blob %" PRIu64, s->w->n_bytes);
    return fetch_sum_add(s, head, (size_t)n + 1, err); /* with its NUL */
}

bool fetch_sum_add(struct fetch_sum *s, const void *data, size_t n_bytes, struct err *err)
{
    if (!s->kind || EVP_DigestUpdate(s->ctx, data, n_bytes) == 1) return true;
    return err_set(err, ERR_UNSUPPORTED, "OpenSSL does not finish a sum; see its configuration");
}

bool fetch_sum_check(struct fetch_sum *s, struct err *err)
{
    if (!s->kind) return true;
    unsigned char sum[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(s->ctx, sum, &n) != 1)
        return err_set(err, ERR_UNSUPPORTED,
                       "OpenSSL does not finish a sum; see its configuration");
    for (unsigned i = 0; i < n; i++) snprintf(hex + (size_t)2 * i, 3, "%02x", sum[i]);
    const char *promised = s->w->sha256 ? s->w->sha256 : s->w->git_id;
    if (strcasecmp(hex, promised) == 0) return true;
    return err_set(err, ERR_FORMAT, "%s: its %s is %s, but the hub promises %.64s; fetch it again",
                   path_base(s->w->path), s->w->sha256 ? "SHA-256" : "git id", hex, promised);
}
