/* SPDX-License-Identifier: Apache-2.0
 *
 * search.c - from a question to passages.
 *
 * The words of the question are asked for by BM25 over heading path and text, any of them, stop
 * words only if there is nothing else. FTS5's query language never sees what a user wrote: each
 * word is a quoted string. Then passages that nearly repeat a better one go, since a prompt has
 * room for few and copies of one page would crowd out everything else.
 *
 * With a vector of the question there are two lists, and a passage's score is the sum of 1 / (60 +
 * its rank) over those that hold it (reciprocal rank fusion; Cormack and others, 2009): the scores
 * of BM25 and of vectors have no common measure, ranks have.
 */
#include "retrieve/search.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "retrieve/shingles.h"
#include "retrieve/vectors.h"
#include "retrieve/words.h"

enum {
    MAX_QUERY_WORDS = 48,
    N_CANDIDATES = 100,
    RANK_OFFSET = 60,
};

void passages_release(struct passages *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->passage[i].path);
        free(p->passage[i].title);
        free(p->passage[i].heading);
        free(p->passage[i].body);
    }
    free(p->passage);
    *p = (struct passages){0};
}

/* "word" OR "word" ...; returns how many. */
static int match_text(const char *s, size_t n, bool with_stop_words, struct buf *out)
{
    uint64_t seen[MAX_QUERY_WORDS];
    int n_words = 0;
    struct word w;
    for (size_t at = 0; n_words < MAX_QUERY_WORDS && word_next(s, n, &at, &w);) {
        bool is_old = w.kind == WORD_STOP && !with_stop_words;
        for (int i = 0; i < n_words && !is_old; i++) is_old = seen[i] == w.id;
        if (is_old) continue;
        buf_puts(out, n_words ? " OR \"" : "\"");
        buf_append(out, s + w.begin, w.end - w.begin); /* letters and digits: no quote in it */
        buf_putc(out, '"');
        seen[n_words++] = w.id;
    }
    return n_words;
}

static char *column(sqlite3_stmt *q, int i)
{
    const char *s = (const char *)sqlite3_column_text(q, i);
    return strdup(s ? s : "");
}

#define PASSAGE_COLUMNS                                                                            \
    "c.id, c.document, c.begin_byte, c.end_byte, c.heading, c.body, d.path, d.title"

static bool add_row(sqlite3_stmt *q, struct passages *out, struct err *err)
{
    struct passage *grown = realloc(out->passage, (out->n + 1) * sizeof *grown);
    if (!grown) return err_set(err, ERR_MEMORY, "no memory for the passages that were found");
    out->passage = grown;
    struct passage *p = &out->passage[out->n++];
    const int64_t begin = sqlite3_column_int64(q, 2), end = sqlite3_column_int64(q, 3);
    *p = (struct passage){.id = sqlite3_column_int64(q, 0),
                          .document = sqlite3_column_int64(q, 1),
                          .begin = begin > 0 ? (size_t)begin : 0,
                          .heading = column(q, 4),
                          .body = column(q, 5),
                          .path = column(q, 6),
                          .title = column(q, 7)};
    p->end = end > begin ? (size_t)end : p->begin;
    if (p->heading && p->body && p->path && p->title) return true;
    return err_set(err, ERR_MEMORY, "no memory for the passages that were found");
}

static bool by_words(struct store *s, const char *match, struct passages *out, struct err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(
        store_db(s),
        "SELECT " PASSAGE_COLUMNS
        ", f.score FROM (SELECT rowid, bm25(chunk_words, 1.0, 1.0) AS score"
        " FROM chunk_words WHERE chunk_words MATCH ?1 ORDER BY score LIMIT ?2) f"
        " JOIN chunks c ON c.id = f.rowid JOIN documents d ON d.id = c.document ORDER BY f.score",
        -1, &q, NULL);
    bool ok = true;
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(q, 1, match, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 2, N_CANDIDATES);
        while (ok && (rc = sqlite3_step(q)) == SQLITE_ROW) {
            ok = add_row(q, out, err);
            if (!ok) break;
            out->passage[out->n - 1].score = -sqlite3_column_double(q, 8);
            out->passage[out->n - 1].rank_words = (int)out->n;
        }
    }
    if (ok && rc != SQLITE_DONE) ok = store_fail(s, err);
    sqlite3_finalize(q);
    return ok;
}

/* Keeps the first n_want that do not nearly repeat one kept before. */
static bool keep_best(struct passages *p, int n_want, struct err *err)
{
    struct shingles *kept = calloc((size_t)n_want, sizeof *kept);
    if (!kept) return err_set(err, ERR_MEMORY, "no memory to compare passages");
    size_t n_kept = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < p->n && n_kept < (size_t)n_want; i++) {
        struct passage it = p->passage[i];
        struct shingles its = {0};
        bool is_repeat = false;
        ok = shingles_of(it.body, strlen(it.body), &its, err);
        for (size_t k = 0; ok && k < n_kept && !is_repeat; k++)
            is_repeat = shingles_overlap(&its, &kept[k]) >= SHINGLES_SAME;
        if (!ok || is_repeat) {
            shingles_release(&its);
            continue;
        }
        p->passage[i] = p->passage[n_kept];
        p->passage[n_kept] = it;
        kept[n_kept++] = its;
    }
    for (size_t k = 0; k < n_kept; k++) shingles_release(&kept[k]);
    free(kept);
    struct passages rest = {p->passage + n_kept, p->n - n_kept};
    for (size_t i = 0; i < rest.n; i++) {
        free(rest.passage[i].path);
        free(rest.passage[i].title);
        free(rest.passage[i].heading);
        free(rest.passage[i].body);
    }
    p->n = n_kept;
    return ok;
}

/* The list by words; empty if the question has none. */
static bool find_by_words(struct store *s, const char *question, size_t n_bytes,
                          struct passages *out, struct err *err)
{
    struct buf match;
    buf_init(&match, 65536);
    bool ok = true;
    if (match_text(question, n_bytes, false, &match) > 0 ||
        match_text(question, n_bytes, true, &match) > 0)
        ok = buf_check(&match, "the question", err) && by_words(s, match.data, out, err);
    buf_release(&match);
    return ok;
}

bool search_run(struct store *s, const char *question, size_t n_bytes, int n_want,
                struct passages *out, struct err *err)
{
    *out = (struct passages){0};
    const bool ok = find_by_words(s, question, n_bytes, out, err) && keep_best(out, n_want, err);
    if (!ok) passages_release(out);
    return ok;
}

/* The passage with this id at the end of the list, if the index has it. */
static bool append_passage(struct store *s, int64_t id, struct passages *out, struct err *err)
{
    struct passages one;
    const int found = search_passage(s, id, &one, err);
    if (found != 1) return found == 0;
    struct passage *grown = realloc(out->passage, (out->n + 1) * sizeof *grown);
    if (!grown) {
        passages_release(&one);
        return err_set(err, ERR_MEMORY, "no memory for the passages that were found");
    }
    out->passage = grown;
    out->passage[out->n++] = one.passage[0];
    free(one.passage);
    return true;
}

static bool add_by_vector(struct store *s, const float *v, int32_t d, struct passages *out,
                          struct err *err)
{
    int64_t id[N_CANDIDATES];
    int n = 0, rank = 0;
    if (!vectors_nearest(s, v, d, N_CANDIDATES, id, &n, err)) return false;
    const size_t n_words = out->n;
    for (int i = 0; i < n; i++) {
        size_t at = 0;
        while (at < n_words && out->passage[at].id != id[i]) at++;
        if (at == n_words) {
            at = out->n;
            if (!append_passage(s, id[i], out, err)) return false;
            if (at == out->n) continue; /* a vector without a passage: somebody else's doing */
        }
        out->passage[at].rank_vectors = ++rank;
    }
    return true;
}

static double share(int rank) { return rank ? 1.0 / (RANK_OFFSET + rank) : 0; }

static int by_score(const void *a, const void *b)
{
    const struct passage *x = a, *y = b;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

bool search_run_both(struct store *s, const char *question, size_t n_bytes, const float *v,
                     int32_t d, int n_want, struct passages *out, struct err *err)
{
    *out = (struct passages){0};
    bool ok = find_by_words(s, question, n_bytes, out, err) && add_by_vector(s, v, d, out, err);
    for (size_t i = 0; ok && i < out->n; i++)
        out->passage[i].score =
            share(out->passage[i].rank_words) + share(out->passage[i].rank_vectors);
    if (ok && out->n) qsort(out->passage, out->n, sizeof *out->passage, by_score);
    ok = ok && keep_best(out, n_want, err);
    if (!ok) passages_release(out);
    return ok;
}

int search_passage(struct store *s, int64_t id, struct passages *out, struct err *err)
{
    sqlite3_stmt *q = NULL;
    *out = (struct passages){0};
    int rc = sqlite3_prepare_v2(store_db(s),
                                "SELECT " PASSAGE_COLUMNS " FROM chunks c JOIN documents d ON"
                                " d.id = c.document WHERE c.id = ?1",
                                -1, &q, NULL);
    int found = -1;
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(q, 1, id);
        rc = sqlite3_step(q);
        if (rc == SQLITE_DONE) found = 0;
        if (rc == SQLITE_ROW) found = add_row(q, out, err) ? 1 : -1;
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) store_fail(s, err);
    sqlite3_finalize(q);
    if (found < 0) passages_release(out);
    return found;
}
