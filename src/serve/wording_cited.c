/* SPDX-License-Identifier: Apache-2.0
 *
 * wording_cited.c - references of an answer as each API has them.
 *
 * Chat completions and Responses name a place in the text, where the mark "[1]" stands; Messages
 * has citations of the block of text that they support, and is told which search result and what it
 * says. None of the three has a place for all that is known, so that each has one object more, of
 * citation_write().
 */
#include "serve/generation.h"

#include <stdio.h>
#include <string.h>

enum { MAX_URL = 64 };

static const struct citation *citations_of(const struct choice *c, size_t *n)
{
    *n = 0;
    return c->citer ? citer_citations(c->citer, n) : NULL;
}

static const struct passage *passage_of(const struct choice *c, const struct citation *it)
{
    return sources_passage(c->generation->sources, it->source);
}

static bool is_web(const struct passage *p)
{
    return strncmp(p->path, "http://", 7) == 0 || strncmp(p->path, "https://", 8) == 0;
}

static const char *title_of(const struct passage *p) { return *p->heading ? p->heading : p->title; }

/* All that is known of it, under `key`. */
static void write_known(struct json_writer *w, const char *key, const struct choice *c,
                        const struct citation *it)
{
    json_key(w, key);
    json_object(w);
    citation_write(w, c->generation->sources, it);
    json_end(w);
}

/* Keys of a reference to an address: its document's if that has one, else the passage's here. */
static void write_url(struct json_writer *w, const struct passage *p, const struct citation *it)
{
    char url[MAX_URL];
    snprintf(url, sizeof url, "/v1/passages/%lld", (long long)p->id);
    json_key_uint(w, "start_index", it->begin_cp);
    json_key_uint(w, "end_index", it->end_cp);
    json_key_cstring(w, "title", title_of(p));
    json_key_cstring(w, "url", is_web(p) ? p->path : url);
}

static void write_chat(struct json_writer *w, const struct choice *c, const struct citation *it)
{
    json_object(w);
    json_key_cstring(w, "type", "url_citation");
    json_key(w, "url_citation");
    json_object(w);
    write_url(w, passage_of(c, it), it);
    json_end(w);
    write_known(w, "source", c, it);
    json_end(w);
}

void word_annotations(struct json_writer *w, const struct choice *c, size_t n_new)
{
    size_t n = 0;
    const struct citation *all = citations_of(c, &n);
    json_key(w, "annotations");
    json_array(w);
    for (size_t i = n - n_new; i < n; i++) write_chat(w, c, &all[i]);
    json_end(w);
}

/* ---- Responses ---- */

/* Keys of a reference to a file of the index; where it stands in the text besides, as of a url. */
static void write_file(struct json_writer *w, const struct passage *p, const struct citation *it)
{
    char id[32];
    const char *slash = strrchr(p->path, '/');
    snprintf(id, sizeof id, "file-%lld", (long long)p->document);
    json_key_cstring(w, "file_id", id);
    json_key_cstring(w, "filename", slash ? slash + 1 : p->path);
    json_key_uint(w, "index", it->begin_cp);
    json_key_uint(w, "start_index", it->begin_cp);
    json_key_uint(w, "end_index", it->end_cp);
}

void word_response_citation(struct json_writer *w, const struct choice *c, size_t i)
{
    size_t n = 0;
    const struct citation *it = citations_of(c, &n) + i;
    const struct passage *p = passage_of(c, it);
    json_object(w);
    json_key_cstring(w, "type", is_web(p) ? "url_citation" : "file_citation");
    if (is_web(p))
        write_url(w, p, it);
    else
        write_file(w, p, it);
    write_known(w, "source", c, it);
    json_end(w);
}

/* ---- Messages ---- */

void word_message_citation(struct json_writer *w, const struct choice *c, size_t i)
{
    size_t n = 0;
    const struct citation *it = citations_of(c, &n) + i;
    const struct passage *p = passage_of(c, it);
    json_object(w);
    json_key_cstring(w, "type", "search_result_location");
    json_key(w, "cited_text");
    json_string(w, p->body + it->quote_begin, it->quote_end - it->quote_begin);
    json_key_cstring(w, "source", p->path);
    json_key_cstring(w, "title", title_of(p));
    json_key_uint(w, "search_result_index", it->source);
    json_key_int(w, "start_block_index", 0); /* a passage is one block */
    json_key_int(w, "end_block_index", 1);
    write_known(w, "reference", c, it);
    json_end(w);
}

/* The citations whose marks stand in [begin, end) of the text. */
static void write_citations(struct json_writer *w, const struct choice *c, size_t begin, size_t end)
{
    bool has_any = false;
    size_t n = 0;
    const struct citation *all = citations_of(c, &n);
    for (size_t i = 0; i < n; i++) {
        if (all[i].begin < begin || all[i].begin >= end) continue;
        if (!has_any) {
            json_key(w, "citations");
            json_array(w);
        }
        has_any = true;
        word_message_citation(w, c, i);
    }
    if (has_any) json_end(w);
}

static void write_block(struct json_writer *w, const struct choice *c, size_t begin, size_t end)
{
    json_object(w);
    json_key_cstring(w, "type", "text");
    json_key(w, "text");
    json_string(w, c->text.data ? c->text.data + begin : "", end - begin);
    write_citations(w, c, begin, end);
    json_end(w);
}

void word_message_texts(struct json_writer *w, const struct choice *c, size_t begin, size_t end)
{
    const size_t n = c->sentences.n_bytes / sizeof(size_t);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        memcpy(&at, c->sentences.data + i * sizeof at, sizeof at);
        if (at <= begin || at >= end) continue;
        write_block(w, c, begin, at);
        begin = at;
    }
    write_block(w, c, begin, end);
}
