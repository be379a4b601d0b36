/* SPDX-License-Identifier: Apache-2.0
 *
 * footnotes.c - the sources of an answer for a terminal or a pipe.
 *
 * A source that several sentences name is quoted where the first of them found it. Control
 * characters cannot come: readers of documents take them out (retrieve/doc.h).
 */
#include "cli/footnotes.h"

static void print_one(FILE *out, const struct passage *p, const struct citation *c)
{
    const char *about = *p->heading ? p->heading : p->title;
    const size_t begin = c->quote_begin, end = c->quote_end;
    fprintf(out, "[%d] %s\n    %s, bytes %zu-%zu\n    \"", c->number, about, p->path,
            p->begin + begin, p->begin + end);
    for (size_t i = begin; i < end; i++) putc(p->body[i] == '\n' ? ' ' : p->body[i], out);
    fputs("\"\n", out);
}

void footnotes_print(FILE *out, const struct sources *s, const struct citation *cited, size_t n)
{
    int last = 0;
    putc('\n', out);
    for (;;) {
        const struct citation *next = NULL;
        for (size_t i = 0; i < n; i++)
            if (cited[i].number > last && (!next || cited[i].number < next->number))
                next = &cited[i];
        if (!next) break;
        print_one(out, sources_passage(s, next->source), next);
        last = next->number;
    }
    fflush(out);
}

void footnotes_json(struct json_writer *w, const struct sources *s, const struct citation *cited,
                    size_t n)
{
    json_array(w);
    for (size_t i = 0; i < n; i++) {
        json_object(w);
        json_key_uint(w, "start_index", cited[i].begin_cp);
        json_key_uint(w, "end_index", cited[i].end_cp);
        citation_write(w, s, &cited[i]);
        json_end(w);
    }
    json_end(w);
}
