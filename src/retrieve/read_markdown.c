/* SPDX-License-Identifier: Apache-2.0
 *
 * read_markdown.c - Markdown, parsed by md4c; its callbacks become blocks.
 *
 * Raw HTML is left out (its text would be tags), and so is a YAML front matter, of which only the
 * title is taken. Links keep their words, images their descriptions.
 */
#include "retrieve/reader.h"

#include <md4c.h>
#include <string.h>

#include "retrieve/decode_text.h"

struct state {
    struct doc *out;
    int n_items; /* list items that are open around here */
    int n_cells; /* in the table row */
};

static int enter_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    struct state *s = user;
    switch (type) {
    case MD_BLOCK_H:
        doc_begin(s->out, DOC_HEADING, (int)((MD_BLOCK_H_DETAIL *)detail)->level);
        break;
    case MD_BLOCK_P:
        doc_begin(s->out, s->n_items ? DOC_ITEM : DOC_PARAGRAPH, 0);
        break;
    case MD_BLOCK_CODE:
        doc_begin(s->out, DOC_CODE, 0);
        break;
    case MD_BLOCK_LI:
        s->n_items++;
        doc_begin(s->out, DOC_ITEM, 0);
        break;
    case MD_BLOCK_TR:
        s->n_cells = 0;
        doc_begin(s->out, DOC_ROW, 0);
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        if (s->n_cells++ > 0) doc_text(s->out, " | ", 3);
        break;
    default:
        break;
    }
    return s->out->is_failed || s->out->text.is_failed;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *user)
{
    struct state *s = user;
    (void)detail;
    switch (type) {
    case MD_BLOCK_LI:
        s->n_items--;
        break;
    case MD_BLOCK_UL:
    case MD_BLOCK_OL: /* what follows in the item around it */
        if (s->n_items) doc_begin(s->out, DOC_ITEM, 0);
        break;
    case MD_BLOCK_H:
    case MD_BLOCK_P:
    case MD_BLOCK_CODE:
    case MD_BLOCK_TR:
        doc_end(s->out);
        break;
    default:
        break;
    }
    return 0;
}

static int span(MD_SPANTYPE type, void *detail, void *user)
{
    (void)type;
    (void)detail;
    (void)user;
    return 0;
}

/* The few named entities that Markdown writers use; others stay as written. */
static void put_entity(struct doc *out, const char *s, size_t n)
{
    static const char *const names[][2] = {{"&amp;", "&"},  {"&lt;", "<"},
                                           {"&gt;", ">"},   {"&quot;", "\""},
                                           {"&nbsp;", " "}, {"&copy;", "\xC2\xA9"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i][0]) == n && memcmp(names[i][0], s, n) == 0) {
            doc_text(out, names[i][1], strlen(names[i][1]));
            return;
        }
    doc_text(out, s, n);
}

static int text(MD_TEXTTYPE type, const MD_CHAR *s, MD_SIZE n, void *user)
{
    struct doc *out = ((struct state *)user)->out;
    switch (type) {
    case MD_TEXT_HTML:
        break;
    case MD_TEXT_BR:
    case MD_TEXT_SOFTBR:
        doc_space(out);
        break;
    case MD_TEXT_NULLCHAR:
        break;
    case MD_TEXT_ENTITY:
        put_entity(out, s, n);
        break;
    default:
        doc_text(out, s, n);
        break;
    }
    return 0;
}

/* A block between "---" lines at the very beginning: skipped, its `title:` taken. */
static size_t front_matter(const char *s, size_t n, struct doc *out)
{
    if (n < 8 || memcmp(s, "---\n", 4) != 0) return 0;
    const char *end = memmem(s + 3, n - 3, "\n---", 4);
    if (!end || end - s > 65536) return 0;
    const char *title = memmem(s, (size_t)(end - s), "\ntitle:", 7);
    if (title) {
        title += 7 + strspn(title + 7, " \t\"'");
        size_t n_title = strcspn(title, "\n");
        while (n_title > 0 && strchr("\"' \r", title[n_title - 1])) n_title--;
        doc_set_title(out, title, n_title);
    }
    return (size_t)(end - s) + 4;
}

static bool read_markdown(const struct reader_input *in, struct doc *out, struct err *err)
{
    static const MD_PARSER parser = {
        .flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS,
        .enter_block = enter_block,
        .leave_block = leave_block,
        .enter_span = span,
        .leave_span = span,
        .text = text,
    };
    struct state s = {.out = out};
    struct buf b;
    buf_init(&b, DOC_MAX_TEXT_BYTES);
    bool ok = decode_text(in->data, in->n_bytes, in->charset, &b, err);
    if (ok && b.n_bytes) {
        const size_t begin = front_matter(b.data, b.n_bytes, out);
        if (md_parse(b.data + begin, (MD_SIZE)(b.n_bytes - begin), &parser, &s) < 0)
            ok = err_set(err, ERR_MEMORY, "no memory for the Markdown");
    }
    buf_release(&b);
    return ok;
}

static const char *const extensions[] = {"md", "markdown", "mdx", "mkd", NULL};

const struct reader reader_markdown = {
    .name = "markdown",
    .what = "Markdown",
    .extensions = extensions,
    .mime = "text/markdown",
    .read = read_markdown,
};
