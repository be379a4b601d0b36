/* SPDX-License-Identifier: Apache-2.0
 *
 * rerank.c - /v1/rerank: which of these documents answers a question, by a model that was never
 * trained to say so.
 *
 * The score is the query's likelihood: the model reads the document, then the question, and a
 * document that makes the question expected is about it. The number is the geometric mean of the
 * probabilities of the question's tokens, between 0 and 1: it orders the documents of one query,
 * and means nothing across queries. bench/rerank measures it beside vectors' cosine and BM25.
 *
 * The document stands first, so that what the cache keeps of it serves the next query, too. Text is
 * never markup here: a document cannot end itself.
 */
#include "serve/reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"

enum { MAX_QUERY_TOK = 1024 };

static const char bridge[] = "\n\nQuestion:";

struct ranked {
    double sum; /* of the query's log-probabilities */
    int32_t index;
};

struct rerank {
    const char *model;
    struct json query, documents;
    int32_t top_n; /* 0: all */
    bool has_documents;
    int32_t n_query;     /* tokens */
    struct ranked *rank; /* [n_parts], owned */
};

static const struct field rows[] = {
    /* clang-format off */
    /* name                     kind           min max      at                                      read */
    {"model",                   FIELD_STR,     0,  300,     offsetof(struct rerank, model),         NULL},
    {"query",                   FIELD_JSON,    0,  0,       offsetof(struct rerank, query),         NULL},
    {"documents",               FIELD_JSON,    0,  0,       offsetof(struct rerank, documents),     NULL},
    {"top_n",                   FIELD_INT,     1,  1 << 20, offsetof(struct rerank, top_n),         NULL},
    {"return_documents",        FIELD_BOOL,    0,  0,       offsetof(struct rerank, has_documents), NULL},
    {"max_tokens_per_doc",      FIELD_REFUSED, 0,  0,       0,                                      NULL},
    {"truncate_prompt_tokens",  FIELD_REFUSED, 0,  0,       0,                                      NULL},
    {"user",                    FIELD_IGNORED, 0,  0,       0,                                      NULL},
    {0},
    /* clang-format on */
};

/* A document is a string, or an object with one. */
static struct json text_of(struct json document)
{
    return json_type(document) == JSON_OBJECT ? json_get(document, "text") : document;
}

static bool encode(const struct reading *rd, const char *s, size_t n, unsigned flags,
                   struct ids *out, const char *field, struct refusal *r)
{
    struct err err = {0};
    return tokenizer_encode(model_tokenizer(rd->served->gen.model), s, n, flags, out, &err) ||
           refuse_err(r, field, &err);
}

/* What follows every document: the bridge, and the query's n_query tokens. */
static bool read_query(struct reading *rd, struct ids *tail, struct refusal *r)
{
    struct rerank *k = rd->own;
    const char *s = NULL;
    size_t n = 0;
    struct buf spaced;
    if (!json_str(k->query, &s, &n) || n == 0)
        return refuse(r, json_type(k->query) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                      "query", "query: it is %s; give a string that is not empty",
                      n == 0 && s ? "empty" : json_type_name(k->query));
    if (!encode(rd, bridge, sizeof bridge - 1, 0, tail, "query", r)) return false;
    const size_t n_bridge = tail->n;
    buf_init(&spaced, MAX_BODY_BYTES + 1);
    buf_putc(&spaced, ' ');
    buf_append(&spaced, s, n);
    const bool ok = spaced.is_failed ? refuse(r, REFUSAL_SERVER, NULL, "no memory for the query")
                                     : encode(rd, spaced.data, spaced.n_bytes, 0, tail, "query", r);
    buf_release(&spaced);
    if (!ok) return false;
    k->n_query = (int32_t)(tail->n - n_bridge);
    return tail->n - n_bridge <= MAX_QUERY_TOK ||
           refuse(r, REFUSAL_VALUE, "query", "query: %zu tokens; give at most %d",
                  tail->n - n_bridge, MAX_QUERY_TOK);
}

static bool read_document(struct reading *rd, int32_t i, struct json document,
                          const struct ids *tail, struct refusal *r)
{
    const struct tokenizer *t = model_tokenizer(rd->served->gen.model);
    struct job_part *part = &rd->part[i];
    struct ids *ids = &part->prompt;
    struct err err = {0};
    const char *text = NULL;
    size_t n = 0;
    if (!json_str(text_of(document), &text, &n))
        return refuse(r, REFUSAL_VALUE, "documents",
                      "documents[%d]: it is %s; give a string, or an object with \"text\"", (int)i,
                      json_type_name(document));
    if (!encode(rd, text, n, tokenizer_vocab(t)->adds_bos ? ENCODE_BOS : 0u, ids, "documents", r))
        return false;
    if (ids->n + tail->n > (size_t)rd->served->gen.n_ctx)
        return refuse(r, REFUSAL_CONTEXT, "documents",
                      "documents[%d]: %zu tokens, with the query %zu; the context holds %d", (int)i,
                      ids->n, ids->n + tail->n, (int)rd->served->gen.n_ctx);
    for (size_t j = 0; j < tail->n; j++)
        if (!ids_push(ids, tail->id[j], &err)) return refuse_err(r, "documents", &err);
    part->score_from = (int32_t)ids->n - ((struct rerank *)rd->own)->n_query;
    rd->n_tok += (int64_t)ids->n;
    return true;
}

static bool read_documents(struct reading *rd, const struct ids *tail, struct refusal *r)
{
    struct rerank *k = rd->own;
    const size_t n = json_len(k->documents);
    struct json_iter it = json_iter(k->documents);
    struct json document;
    if (json_type(k->documents) != JSON_ARRAY || n == 0 || n > READING_MAX_TEXTS)
        return refuse(r, json_type(k->documents) == JSON_NONE ? REFUSAL_MISSING : REFUSAL_VALUE,
                      "documents", "documents: it is %s of %zu; give an array of 1 to %d",
                      json_type_name(k->documents), n, READING_MAX_TEXTS);
    rd->part = calloc(n, sizeof *rd->part);
    k->rank = calloc(n, sizeof *k->rank);
    if (!rd->part || !k->rank) return refuse(r, REFUSAL_SERVER, NULL, "no memory for the texts");
    rd->n_parts = (int32_t)n;
    for (int32_t i = 0; json_next(&it, NULL, NULL, &document); i++) {
        k->rank[i].index = i;
        if (!read_document(rd, i, document, tail, r)) return false;
    }
    return true;
}

static bool read_body(struct reading *rd, struct refusal *r)
{
    struct rerank *k = rd->own;
    struct ids tail = {0};
    const bool ok = server_choose_adapter(rd->server, rd->served, k->model, &rd->adapter, r) &&
                    read_query(rd, &tail, r) && read_documents(rd, &tail, r);
    ids_release(&tail);
    rd->job.params.n_predict = 0;
    rd->job.params.sampling.n_logprobs = 1; /* without any the token's own is left out, too */
    rd->job.has_logprobs = true;
    return ok;
}

static void hear(struct reading *rd, int32_t i, struct worker_event *ev)
{
    struct rerank *k = rd->own;
    if (ev->is_prompt && ev->sampled) k->rank[i].sum += (double)ev->sampled->logprob;
}

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->sum != y->sum) return x->sum > y->sum ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static void word_result(struct json_writer *w, const struct rerank *k, const struct ranked *one)
{
    json_object(w);
    json_key_int(w, "index", one->index);
    json_key_double(w, "relevance_score", exp(one->sum / k->n_query));
    if (k->has_documents) {
        json_key(w, "document");
        json_object(w);
        json_key_copy(w, "text", text_of(json_at(k->documents, (size_t)one->index)), "null");
        json_end(w);
    }
    json_end(w);
}

static void word(struct reading *rd, struct buf *out)
{
    struct rerank *k = rd->own;
    const int32_t n = k->top_n > 0 && k->top_n < rd->n_parts ? k->top_n : rd->n_parts;
    struct json_writer w = json_writer(out);
    qsort(k->rank, (size_t)rd->n_parts, sizeof *k->rank, by_score);
    json_object(&w);
    json_key_cstring(&w, "object", "list");
    json_key_cstring(&w, "model", server_model_name(rd->served, rd->adapter));
    json_key(&w, "results");
    json_array(&w);
    for (int32_t i = 0; i < n; i++) word_result(&w, k, &k->rank[i]);
    json_end(&w);
    reading_usage(&w, rd);
    json_end(&w);
}

static void release(struct reading *rd)
{
    struct rerank *k = rd->own;
    free(k->rank);
}

const struct reading_kind reading_rerank = {
    .own_bytes = sizeof(struct rerank),
    .fields = rows,
    .read = read_body,
    .hear = hear,
    .word = word,
    .release = release,
};
