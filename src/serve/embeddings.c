/* SPDX-License-Identifier: Apache-2.0
 *
 * embeddings.c - /v1/embeddings: a vector for each text, from the model's last states.
 *
 * OpenAI's Python client asks for base64 whenever its caller asks for nothing: the vector as
 * little-endian floats, which is a third of the decimal text's size. `dimensions` keeps the first
 * ones and makes the vector of length 1 again, as OpenAI's models are trained for; other models
 * lose more by it.
 */
#include "serve/reading.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "infer/embed.h"

struct embeddings {
    const char *model, *encoding;
    struct json input;
    int32_t dimensions; /* 0: all */
    float **vector;     /* [n_parts] of [d_model], each owned */
};

static const struct field rows[] =
    {
        /* clang-format off */
    /* name              kind           min max      at                                       read */
    {"model",            FIELD_STR,     0,  300,     offsetof(struct embeddings, model),      NULL},
    {"input",            FIELD_JSON,    0,  0,       offsetof(struct embeddings, input),      NULL},
    {"encoding_format",  FIELD_STR,     0,  16,      offsetof(struct embeddings, encoding),   NULL},
    {"dimensions",       FIELD_INT,     1,  1 << 20, offsetof(struct embeddings, dimensions), NULL},
    {"user",             FIELD_IGNORED, 0,  0,       0,                                       NULL},
    {0},
        /* clang-format on */
};

static bool read_body(struct reading *rd, struct refusal *r)
{
    struct embeddings *e = rd->own;
    struct server *s = rd->server;
    const int32_t d = embed_width(rd->served->engine);
    if (!e->encoding) e->encoding = "float";
    if (!server_choose_adapter(rd->server, rd->served, e->model, &rd->adapter, r)) return false;
    if (strcmp(e->encoding, "float") != 0 && strcmp(e->encoding, "base64") != 0)
        return refuse(r, REFUSAL_VALUE, "encoding_format",
                      "encoding_format: \"%s\" is unknown; give float or base64", e->encoding);
    if (e->dimensions > d)
        return refuse(r, REFUSAL_VALUE, "dimensions",
                      "dimensions: %d; this model's vectors have %d, give 1 to %d",
                      (int)e->dimensions, (int)d, (int)d);
    if (!reading_texts(rd, "input", e->input, r)) return false;
    e->vector = calloc((size_t)rd->n_parts, sizeof *e->vector);
    rd->job.params.pooling = s->opt->pooling;
    return e->vector || refuse(r, REFUSAL_SERVER, NULL, "no memory for the vectors");
}

static void hear(struct reading *rd, int32_t i, struct worker_event *ev)
{
    struct embeddings *e = rd->own;
    if (!ev->vector) return;
    e->vector[i] = ev->vector;
    ev->vector = NULL;
}

static void write_base64(struct buf *out, const unsigned char *s, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t b1 = i + 1 < n ? s[i + 1] : 0, b2 = i + 2 < n ? s[i + 2] : 0;
        const uint32_t bits = (uint32_t)s[i] << 16 | b1 << 8 | b2;
        buf_putc(out, digit[bits >> 18]);
        buf_putc(out, digit[bits >> 12 & 63]);
        buf_putc(out, i + 1 < n ? digit[bits >> 6 & 63] : '=');
        buf_putc(out, i + 2 < n ? digit[bits & 63] : '=');
    }
}

static void write_vector(struct json_writer *w, const struct embeddings *e, const float *v,
                         int32_t n)
{
    json_key(w, "embedding");
    if (strcmp(e->encoding, "base64") == 0) {
        struct buf digits;
        buf_init(&digits, (size_t)n * sizeof *v * 2);
        write_base64(&digits, (const unsigned char *)v, (size_t)n * sizeof *v);
        json_string(w, digits.data, digits.n_bytes);
        w->out->is_failed |= digits.is_failed;
        buf_release(&digits);
        return;
    }
    json_array(w);
    for (int32_t i = 0; i < n; i++) json_float(w, v[i]);
    json_end(w);
}

static void word(struct reading *rd, struct buf *out)
{
    const struct embeddings *e = rd->own;
    const int32_t d = embed_width(rd->served->engine), n = e->dimensions ? e->dimensions : d;
    struct json_writer w = json_writer(out);
    json_object(&w);
    json_key_cstring(&w, "object", "list");
    json_key(&w, "data");
    json_array(&w);
    for (int32_t i = 0; i < rd->n_parts; i++) {
        if (n < d) pool_shorten(e->vector[i], n);
        json_object(&w);
        json_key_cstring(&w, "object", "embedding");
        json_key_int(&w, "index", i);
        write_vector(&w, e, e->vector[i], n);
        json_end(&w);
    }
    json_end(&w);
    json_key_cstring(&w, "model", server_model_name(rd->served, rd->adapter));
    reading_usage(&w, rd);
    json_end(&w);
}

static void release(struct reading *rd)
{
    struct embeddings *e = rd->own;
    for (int32_t i = 0; e->vector && i < rd->n_parts; i++) free(e->vector[i]);
    free(e->vector);
}

const struct reading_kind reading_embeddings = {
    .own_bytes = sizeof(struct embeddings),
    .fields = rows,
    .read = read_body,
    .hear = hear,
    .word = word,
    .release = release,
};
