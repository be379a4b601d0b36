/* SPDX-License-Identifier: Apache-2.0
 *
 * vectors.c - a vector a passage, and a scan over all of them.
 *
 * A vector is stored as a scale and one signed byte a number: a quarter of the floats, and the
 * order of the nearest hardly changes. A question is compared with every vector. No tree or graph:
 * they pay from millions of passages on, and would have to be kept right while documents come and
 * go. Blobs of another length than the question's vector are passed over, since the file may be
 * anybody's.
 */
#include "retrieve/vectors.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { SCALE_BYTES = 4, MAX_D = 65536 };

static bool exec(struct store *s, const char *text, struct err *err)
{
    return sqlite3_exec(store_db(s), text, NULL, NULL, NULL) == SQLITE_OK || store_fail(s, err);
}

static bool is_label(struct store *s, const char *label, bool *is_any, bool *is_same,
                     struct err *err)
{
    struct buf b;
    buf_init(&b, 4096);
    const bool ok = store_get(s, "vectors", &b, err);
    *is_any = ok && b.n_bytes > 0;
    *is_same = *is_any && strcmp(b.data, label) == 0;
    buf_release(&b);
    return ok;
}

bool vectors_begin(struct store *s, const char *label, int64_t *n_missing, struct err *err)
{
    struct store_counts c;
    bool is_any = false, is_same = false;
    if (!is_label(s, label, &is_any, &is_same, err)) return false;
    if (!is_same && !(store_begin(s, err) && exec(s, "DELETE FROM vectors", err) &&
                      store_set(s, "vectors", label, err) && store_commit(s, err)))
        return false;
    if (!store_count(s, &c, err)) return false;
    *n_missing = c.n_chunks - c.n_vectors;
    return true;
}

bool vectors_check(struct store *s, const char *label, struct err *err)
{
    bool is_any = false, is_same = false;
    if (!is_label(s, label, &is_any, &is_same, err)) return false;
    if (!is_any)
        return err_set(err, ERR_USAGE,
                       "the index holds no vectors; make them with cria index DB --vectors");
    return is_same || err_set(err, ERR_USAGE,
                              "the index holds vectors of another model; name that one with -m, or "
                              "make them anew with cria index DB --vectors");
}

int vectors_next(struct store *s, int64_t after, int64_t *id, struct buf *text, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(store_db(s),
                                "SELECT id, heading, body FROM chunks WHERE id > ?1 AND NOT EXISTS"
                                " (SELECT 1 FROM vectors WHERE chunk = chunks.id)"
                                " ORDER BY id LIMIT 1",
                                -1, &q, NULL);
    int found = -1;
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, after);
        rc = sqlite3_step(q);
        if (rc == SQLITE_DONE) found = 0;
    }
    if (rc == SQLITE_ROW) {
        const char *heading = (const char *)sqlite3_column_text(q, 1);
        const char *body = (const char *)sqlite3_column_text(q, 2);
        *id = sqlite3_column_int64(q, 0);
        buf_printf(text, "%s\n%s", heading ? heading : "", body ? body : "");
        found = buf_check(text, "a passage", err) ? 1 : -1;
    } else if (rc != SQLITE_DONE) {
        store_fail(s, err);
    }
    sqlite3_finalize(q);
    return found;
}

/* v as bytes; returns the scale. */
static float to_bytes(const float *v, int32_t d, int8_t *out)
{
    float max = 0;
    for (int32_t i = 0; i < d; i++) max = fmaxf(max, fabsf(v[i]));
    const float scale = max > 0 ? max / 127 : 1;
    for (int32_t i = 0; i < d; i++) out[i] = (int8_t)lrintf(v[i] / scale);
    return scale;
}

bool vectors_put(struct store *s, int64_t id, const float *v, int32_t d, struct err *err)
{
    sqlite3_stmt *q = NULL;
    uint8_t *blob = d > 0 && d <= MAX_D ? malloc(SCALE_BYTES + (size_t)d) : NULL;
    if (!blob) return err_set(err, ERR_MEMORY, "no memory for a vector of %d numbers", (int)d);
    const float scale = to_bytes(v, d, (int8_t *)blob + SCALE_BYTES);
    memcpy(blob, &scale, SCALE_BYTES);
    const bool ok = sqlite3_prepare_v2(store_db(s), "INSERT OR REPLACE INTO vectors VALUES(?1, ?2)",
                                       -1, &q, NULL) == SQLITE_OK &&
                    sqlite3_bind_int64(q, 1, id) == SQLITE_OK &&
                    sqlite3_bind_blob(q, 2, blob, SCALE_BYTES + d, SQLITE_STATIC) == SQLITE_OK &&
                    sqlite3_step(q) == SQLITE_DONE;
    if (!ok) store_fail(s, err);
    sqlite3_finalize(q);
    free(blob);
    return ok;
}

static float dot(const int8_t *restrict a, const int8_t *restrict b, int32_t d)
{
    int32_t sum = 0; /* d <= 65536: 2^16 * 2^14 fits */
    for (int32_t i = 0; i < d; i++) sum += a[i] * b[i];
    return (float)sum;
}

struct near {
    float likeness;
    int64_t id;
};

/* Into its place among the n_want best. */
static void offer(struct near *best, int *n, int n_want, struct near it)
{
    if (*n == n_want && !(it.likeness > best[*n - 1].likeness)) return;
    int at = *n < n_want ? (*n)++ : *n - 1;
    for (; at > 0 && it.likeness > best[at - 1].likeness; at--) best[at] = best[at - 1];
    best[at] = it;
}

static bool scan(struct store *s, const int8_t *v, int32_t d, int n_want, struct near *best, int *n,
                 struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(store_db(s), "SELECT chunk, vector FROM vectors", -1, &q, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(q);
        if (rc != SQLITE_ROW) break;
        const uint8_t *blob = sqlite3_column_blob(q, 1);
        float scale = 0;
        if (!blob || sqlite3_column_bytes(q, 1) != SCALE_BYTES + d) continue;
        memcpy(&scale, blob, SCALE_BYTES);
        const float likeness = scale * dot(v, (const int8_t *)blob + SCALE_BYTES, d);
        if (isfinite(likeness))
            offer(best, n, n_want, (struct near){likeness, sqlite3_column_int64(q, 0)});
    }
    const bool ok = rc == SQLITE_DONE || store_fail(s, err);
    sqlite3_finalize(q);
    return ok;
}

bool vectors_nearest(struct store *s, const float *v, int32_t d, int n_want, int64_t *id, int *n,
                     struct err *err)
{
    int8_t *bytes = d > 0 && d <= MAX_D ? malloc((size_t)d) : NULL;
    struct near *best = calloc((size_t)n_want, sizeof *best);
    *n = 0;
    bool ok = (bytes && best) ||
              err_set(err, ERR_MEMORY, "no memory to compare vectors of %d numbers", (int)d);
    if (ok) {
        (void)to_bytes(v, d, bytes); /* its scale changes no order */
        ok = scan(s, bytes, d, n_want, best, n, err);
    }
    for (int i = 0; ok && i < *n; i++) id[i] = best[i].id;
    free(bytes);
    free(best);
    return ok;
}
