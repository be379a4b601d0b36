/* SPDX-License-Identifier: Apache-2.0
 *
 * read_html.c - web pages: the article without navigation, advertisement and comments.
 *
 * Parsing is html_blocks.c, choosing html_article.c; here the encoding is found and what was chosen
 * becomes blocks.
 */
#include "retrieve/reader.h"

#include <string.h>
#include <strings.h>

#include "retrieve/decode_text.h"
#include "retrieve/html_blocks.h"

/* What <meta charset> or http-equiv in the first bytes says; "" if nothing. */
static void find_charset(const uint8_t *data, size_t n_bytes, char out[40])
{
    const size_t n = n_bytes < 2048 ? n_bytes : 2048;
    out[0] = 0;
    for (size_t i = 0; i + 9 < n; i++) {
        if (strncasecmp((const char *)data + i, "charset=", 8) != 0) continue;
        size_t at = i + 8, k = 0;
        if (data[at] == '"' || data[at] == '\'') at++;
        while (at < n && k < 39 &&
               (data[at] == '-' || data[at] == '_' || (data[at] | 32) >= 'a' ||
                (data[at] >= '0' && data[at] <= '9')) &&
               data[at] < 0x7F && data[at] != '"')
            out[k++] = (char)data[at++];
        out[k] = 0;
        return;
    }
}

static void put_blocks(const struct html_page *p, struct doc *out)
{
    doc_set_title(out, p->title.data ? p->title.data : "", p->title.n_bytes);
    for (size_t i = 0; i < p->n_blocks; i++) {
        const struct html_block *b = &p->block[i];
        if (!b->is_kept) continue;
        doc_begin(out, b->kind, b->level);
        doc_text(out, p->text.data + b->begin, b->end - b->begin);
    }
    doc_end(out);
}

static bool read_html(const struct reader_input *in, struct doc *out, struct err *err)
{
    char charset[40];
    struct buf text;
    struct html_page page = {0};
    find_charset(in->data, in->n_bytes, charset);
    buf_init(&text, DOC_MAX_TEXT_BYTES);
    const char *said = in->charset ? in->charset : charset[0] ? charset : NULL;
    bool ok = decode_text(in->data, in->n_bytes, said, &text, err);
    ok = ok && html_parse(text.data ? text.data : "", text.n_bytes, &page, err);
    if (ok) {
        html_choose(&page);
        put_blocks(&page, out);
    }
    html_page_release(&page);
    buf_release(&text);
    return ok;
}

static bool sniff_html(const uint8_t *data, size_t n_bytes)
{
    static const char *const marks[] = {"<!doctype html", "<html", "<head", "<body", NULL};
    size_t i = n_bytes >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < n_bytes && i < 512 && strchr(" \t\r\n", data[i]) && data[i]) i++;
    for (const char *const *m = marks; *m; m++)
        if (n_bytes - i >= strlen(*m) && strncasecmp((const char *)data + i, *m, strlen(*m)) == 0)
            return true;
    return false;
}

static const char *const extensions[] = {"html", "htm", "xhtml", "xht", NULL};

const struct reader reader_html = {
    .name = "html",
    .what = "web pages",
    .extensions = extensions,
    .mime = "text/html",
    .sniff = sniff_html,
    .read = read_html,
};
