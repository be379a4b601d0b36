/* SPDX-License-Identifier: Apache-2.0
 *
 * html_blocks.c - HTML through libxml2's push parser into a flat list of elements and text runs.
 *
 * No tree is built by the library: it loses everything past 256 levels, and a page of deeply nested
 * elements takes quadratic time in it. Here its events come piece by piece, with bounds of our own
 * on depth, number and time, and the elements are kept as one array with parents.
 *
 * One tag with n attributes costs n squared inside the library, where no event lets us in. So what
 * could part attributes is counted while nothing comes from the parser, and beyond MAX_SEPARATORS
 * the tag, if it is one, is closed by force.
 *
 * The parser follows HTML 4, not the tree of HTML 5; for text that makes no difference that the
 * measurement on real pages (docs/index.md) would show.
 */
#include "retrieve/html_blocks.h"

#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/os.h"

#define MAX_BYTES ((size_t)4 << 20)
#define MAX_NS INT64_C(2000000000)

enum {
    MAX_SEPARATORS = 20000,
    MAX_DEPTH = 512,
    MAX_NODES = 200000,
    MAX_BLOCKS = 200000,
    PIECE_BYTES = 16384,
    MAX_NAME = 400
};

enum tag_kind {
    TAG_INLINE, /* not in the table */
    TAG_BLOCK,
    TAG_PARAGRAPH, /* holds text itself: its parent is the container */
    TAG_HEADING,
    TAG_ITEM,
    TAG_CODE,
    TAG_ROW,
    TAG_CELL,
    TAG_LINK,
    TAG_BREAK,
    TAG_TITLE,
    TAG_META,
    TAG_HIDDEN, /* no text of the page is in it */
};

static const struct tag {
    const char *name;
    enum tag_kind kind;
    int level;
    float weight; /* as a container of text */
    unsigned flags;
} tags[] = {
    /* clang-format off */
    {"a",          TAG_LINK,      0,   0, HTML_INLINE_LINK},
    {"address",    TAG_BLOCK,     0,  -3, 0},
    {"article",    TAG_BLOCK,     0,  20, HTML_ARTICLE},
    {"aside",      TAG_BLOCK,     0, -25, HTML_BOILERPLATE},
    {"blockquote", TAG_BLOCK,     0,   3, 0},
    {"body",       TAG_BLOCK,     0,   0, 0},
    {"br",         TAG_BREAK,     0,   0, 0},
    {"button",     TAG_HIDDEN,    0,   0, 0},
    {"canvas",     TAG_HIDDEN,    0,   0, 0},
    {"caption",    TAG_PARAGRAPH, 0,   0, 0},
    {"center",     TAG_BLOCK,     0,   0, 0},
    {"dd",         TAG_ITEM,      0,  -3, 0},
    {"details",    TAG_BLOCK,     0,   0, 0},
    {"div",        TAG_BLOCK,     0,   5, 0},
    {"dl",         TAG_BLOCK,     0,  -3, 0},
    {"dt",         TAG_ITEM,      0,  -3, 0},
    {"figcaption", TAG_PARAGRAPH, 0,   0, HTML_BOILERPLATE},
    {"figure",     TAG_BLOCK,     0,   0, 0},
    {"footer",     TAG_BLOCK,     0, -25, HTML_BOILERPLATE},
    {"form",       TAG_BLOCK,     0,  -3, 0},
    {"h1",         TAG_HEADING,   1,   0, 0},
    {"h2",         TAG_HEADING,   2,   0, 0},
    {"h3",         TAG_HEADING,   3,   0, 0},
    {"h4",         TAG_HEADING,   4,   0, 0},
    {"h5",         TAG_HEADING,   5,   0, 0},
    {"h6",         TAG_HEADING,   6,   0, 0},
    {"header",     TAG_BLOCK,     0,  -5, 0},
    {"hr",         TAG_BLOCK,     0,   0, 0},
    {"html",       TAG_BLOCK,     0,   0, 0},
    {"iframe",     TAG_HIDDEN,    0,   0, 0},
    {"li",         TAG_ITEM,      0,  -3, 0},
    {"main",       TAG_BLOCK,     0,  15, 0},
    {"menu",       TAG_BLOCK,     0, -25, HTML_BOILERPLATE},
    {"meta",       TAG_META,      0,   0, 0},
    {"nav",        TAG_BLOCK,     0, -25, HTML_BOILERPLATE},
    {"noscript",   TAG_HIDDEN,    0,   0, 0},
    {"object",     TAG_HIDDEN,    0,   0, 0},
    {"ol",         TAG_BLOCK,     0,  -3, 0},
    {"option",     TAG_HIDDEN,    0,   0, 0},
    {"p",          TAG_PARAGRAPH, 0,   0, 0},
    {"pre",        TAG_CODE,      0,   3, 0},
    {"script",     TAG_HIDDEN,    0,   0, 0},
    {"section",    TAG_BLOCK,     0,   3, 0},
    {"select",     TAG_HIDDEN,    0,   0, 0},
    {"style",      TAG_HIDDEN,    0,   0, 0},
    {"svg",        TAG_HIDDEN,    0,   0, 0},
    {"table",      TAG_BLOCK,     0,   0, 0},
    {"tbody",      TAG_BLOCK,     0,   0, 0},
    {"td",         TAG_CELL,      0,   3, 0},
    {"template",   TAG_HIDDEN,    0,   0, 0},
    {"textarea",   TAG_HIDDEN,    0,   0, 0},
    {"th",         TAG_CELL,      0,  -5, 0},
    {"thead",      TAG_BLOCK,     0,   0, 0},
    {"title",      TAG_TITLE,     0,   0, 0},
    {"tr",         TAG_ROW,       0,   0, 0},
    {"ul",         TAG_BLOCK,     0,  -3, 0},
    {"video",      TAG_HIDDEN,    0,   0, 0},
    /* clang-format on */
};

/* What class, id, role and itemprop tell, as parts of names; the first list that matches counts. */
static const char *const article_names[] = {"articlebody",  "article-body",    "article__body",
                                            "article_body", "article-content", "article__content",
                                            "article-text", "post-content",    "post-body",
                                            "post_content", "entry-content",   "entry_content",
                                            "story-body",   "storybody",       "story-content",
                                            "story__body",  "body-content",    "content-body",
                                            "page-content", "markdown-body",   NULL};
static const char *const bad_names[] = {
    "comment",  "sidebar",    "footer",    "foot-",      "breadcrumb", "navbar",     "nav-",
    "menu",     "related",    "recommend", "share",      "sharing",    "social",     "sponsor",
    "promo",    "advert",     "-ad-",      "ad-slot",    "newsletter", "subscribe",  "subscription",
    "cookie",   "consent",    "popup",     "modal",      "banner",     "pagination", "pager",
    "widget",   "masthead",   "disqus",    "login",      "signup",     "sign-up",    "tags",
    "taglist",  "author-bio", "byline",    "print-only", "hidden",     "skip-",      "toolbar",
    "outbrain", "taboola",    "trending",  "most-read",  "popular",    "caption",    "credit",
    NULL};
static const char *const good_names[] = {"article", "content", "entry", "post", "story", "text",
                                         "body",    "main",    "blog",  "page", NULL};

struct open {
    const struct tag *tag; /* NULL: inline */
    xmlChar name[16];
    int32_t node; /* the innermost element when it was opened */
    enum doc_kind kind;
    int level;
    bool is_paragraph, is_row;
};

struct state {
    struct html_page *page;
    htmlParserCtxtPtr parser;
    struct open stack[MAX_DEPTH];
    int depth;
    int n_hidden; /* open elements whose text does not count */
    int n_links, n_pre;
    bool is_title, has_title; /* inside of <title>; the page's title is known */
    bool is_in_block;
    bool is_cell_open;   /* a cell came before in this row */
    size_t n_separators; /* fed since the last event */
    int64_t end_ns;
};

static int compare_tag(const void *name, const void *tag)
{
    return strcasecmp(name, ((const struct tag *)tag)->name);
}

static const struct tag *tag_of(const xmlChar *name)
{
    return bsearch(name, tags, sizeof tags / sizeof tags[0], sizeof tags[0], compare_tag);
}

static bool has_part(const char *s, const char *const *parts)
{
    for (const char *const *p = parts; *p; p++)
        if (strstr(s, *p)) return true;
    return false;
}

static void weigh(struct html_node *n, const xmlChar **attr)
{
    char names[MAX_NAME] = "";
    size_t used = 0;
    for (; attr && attr[0]; attr += 2) {
        static const char *const wanted[] = {"class", "id", "role", "itemprop", NULL};
        const char *key = (const char *)attr[0], *value = (const char *)attr[1];
        bool is_wanted = false;
        for (const char *const *w = wanted; *w; w++) is_wanted |= strcmp(key, *w) == 0;
        if (!value) continue;
        if (strcmp(key, "hidden") == 0 ||
            (strcmp(key, "aria-hidden") == 0 && strcmp(value, "true") == 0) ||
            (strcmp(key, "style") == 0 && strstr(value, "display:none")))
            n->flags |= HTML_BOILERPLATE;
        for (size_t i = 0; is_wanted && value[i] && used + 3 < sizeof names; i++)
            names[used++] = (char)(value[i] >= 'A' && value[i] <= 'Z' ? value[i] + 32 : value[i]);
        if (is_wanted && used + 3 < sizeof names) names[used++] = '-';
        names[used] = 0;
    }
    if (has_part(names, article_names)) {
        n->weight += 40;
        n->flags |= HTML_ARTICLE;
    } else if (has_part(names, bad_names)) {
        n->weight -= 25;
        n->flags |= HTML_BOILERPLATE;
    } else if (has_part(names, good_names)) {
        n->weight += 25;
    }
}

static int32_t add_node(struct state *s, const struct tag *tag, const xmlChar **attr)
{
    struct html_page *p = s->page;
    const int32_t parent = s->depth ? s->stack[s->depth - 1].node : 0;
    if (p->n_nodes == p->cap_nodes) {
        const int32_t cap = p->cap_nodes ? p->cap_nodes * 2 : 256;
        struct html_node *grown =
            cap <= MAX_NODES ? realloc(p->node, (size_t)cap * sizeof *grown) : NULL;
        if (!grown) return parent;
        p->node = grown;
        p->cap_nodes = cap;
    }
    struct html_node *n = &p->node[p->n_nodes];
    *n = (struct html_node){.parent = parent, .weight = tag->weight, .flags = tag->flags};
    weigh(n, attr);
    return p->n_nodes++;
}

/* ---- text ---- */

static void end_block(struct state *s)
{
    struct html_page *p = s->page;
    if (!s->is_in_block) return;
    s->is_in_block = false;
    struct html_block *b = &p->block[p->n_blocks - 1];
    b->end = p->text.n_bytes;
    bool is_empty = true;
    for (size_t i = b->begin; i < b->end && is_empty; i++)
        is_empty = strchr(" \t\r\n", p->text.data[i]);
    if (is_empty) {
        p->n_blocks--;
        return;
    }
    const uint32_t n_text = (uint32_t)(b->end - b->begin);
    for (int32_t i = b->node;; i = p->node[i].parent) {
        p->node[i].n_text += n_text;
        p->node[i].n_link += b->n_link;
        if (i == 0) break;
    }
}

static bool begin_block(struct state *s)
{
    struct html_page *p = s->page;
    if (s->is_in_block) return true;
    if (p->n_blocks == p->cap_blocks) {
        const size_t cap = p->cap_blocks ? p->cap_blocks * 2 : 256;
        struct html_block *grown =
            cap <= MAX_BLOCKS ? realloc(p->block, cap * sizeof *grown) : NULL;
        if (!grown) return false;
        p->block = grown;
        p->cap_blocks = cap;
    }
    const struct open *o = s->depth ? &s->stack[s->depth - 1] : NULL;
    p->block[p->n_blocks++] = (struct html_block){
        .kind = o ? o->kind : DOC_PARAGRAPH,
        .level = o ? o->level : 0,
        .node = o ? o->node : 0,
        .is_paragraph = o && o->is_paragraph,
        .begin = p->text.n_bytes,
    };
    s->is_in_block = true;
    return true;
}

static void on_text(void *user, const xmlChar *text, int n)
{
    struct state *s = user;
    struct html_page *p = s->page;
    s->n_separators = 0;
    if (n <= 0) return;
    if (s->is_title) {
        if (!s->has_title) buf_append(&p->title, text, (size_t)n);
        return;
    }
    if (s->n_hidden > 0 || !begin_block(s)) return;
    struct html_block *b = &p->block[p->n_blocks - 1];
    for (int i = 0; i < n; i++) b->n_commas += text[i] == ',';
    if (s->n_links > 0) b->n_link += (uint32_t)n;
    buf_append(&p->text, text, (size_t)n);
}

/* ---- elements ---- */

static void on_start(void *user, const xmlChar *name, const xmlChar **attr)
{
    struct state *s = user;
    const struct tag *tag = tag_of(name);
    s->n_separators = 0;
    if (tag && tag->kind == TAG_META) {
        const char *content = NULL;
        bool is_title = false;
        for (const xmlChar **a = attr; a && a[0]; a += 2) {
            is_title |= a[1] && strcmp((const char *)a[1], "og:title") == 0;
            if (strcmp((const char *)a[0], "content") == 0) content = (const char *)a[1];
        }
        if (is_title && content) {
            buf_clear(&s->page->title);
            buf_puts(&s->page->title, content);
            s->has_title = true; /* <title> often has the site's name in it too */
        }
        return;
    }
    if (tag && tag->kind == TAG_BREAK) {
        on_text(s, (const xmlChar *)(s->n_pre ? "\n" : " "), 1);
        return;
    }
    if (s->depth == MAX_DEPTH) {
        xmlStopParser(s->parser);
        return;
    }
    struct open o = s->depth ? s->stack[s->depth - 1] : (struct open){.kind = DOC_PARAGRAPH};
    o.tag = tag;
    strncpy((char *)o.name, (const char *)name, sizeof o.name - 1);
    o.name[sizeof o.name - 1] = 0;
    if (tag && tag->kind == TAG_TITLE) s->is_title = true;
    if (tag && tag->kind == TAG_HIDDEN) s->n_hidden++;
    if (tag && tag->kind == TAG_LINK) s->n_links++;
    if (tag && tag->kind == TAG_CELL && o.is_row) {
        if (s->is_cell_open) on_text(s, (const xmlChar *)" | ", 3);
        s->is_cell_open = true;
    } else if (tag && tag->kind != TAG_LINK && tag->kind != TAG_HIDDEN && tag->kind != TAG_TITLE) {
        const bool is_cut = !o.is_row || tag->kind == TAG_ROW;
        if (is_cut)
            end_block(s);
        else
            on_text(s, (const xmlChar *)" ", 1);
        o.node = add_node(s, tag, attr);
        o.is_paragraph = tag->kind == TAG_PARAGRAPH || tag->kind == TAG_ITEM;
        o.is_row = tag->kind == TAG_ROW && s->page->node[o.node].n_text == 0;
        o.level = tag->level;
        if (tag->kind == TAG_ROW) s->is_cell_open = false;
        if (tag->kind == TAG_CODE) s->n_pre++;
        o.kind = tag->kind == TAG_HEADING ? DOC_HEADING
                 : tag->kind == TAG_ITEM  ? DOC_ITEM
                 : tag->kind == TAG_CODE  ? DOC_CODE
                 : tag->kind == TAG_ROW   ? DOC_ROW
                 : o.kind == DOC_HEADING  ? DOC_PARAGRAPH
                                          : o.kind;
    }
    s->stack[s->depth++] = o;
}

static void on_end(void *user, const xmlChar *name)
{
    struct state *s = user;
    int i = s->depth;
    s->n_separators = 0;
    while (i > 0 && strncmp((const char *)s->stack[i - 1].name, (const char *)name,
                            sizeof s->stack[0].name - 1) != 0)
        i--;
    if (i == 0) return; /* nothing of that name is open */
    while (s->depth >= i) {
        const struct tag *tag = s->stack[--s->depth].tag;
        if (!tag) continue;
        if (tag->kind == TAG_HIDDEN)
            s->n_hidden--;
        else if (tag->kind == TAG_LINK)
            s->n_links--;
        else if (tag->kind == TAG_TITLE) {
            s->is_title = false;
            s->has_title |= s->page->title.n_bytes > 0;
        } else if (tag->kind == TAG_CODE)
            s->n_pre--;
        if (tag->kind != TAG_HIDDEN && tag->kind != TAG_LINK && tag->kind != TAG_TITLE &&
            !(s->depth > 0 && s->stack[s->depth - 1].is_row))
            end_block(s);
    }
}

static void on_comment(void *user, const xmlChar *text)
{
    struct state *s = user;
    (void)text;
    s->n_separators = 0;
}

static void ignore(void *user, const char *fmt, ...)
{
    (void)user;
    (void)fmt;
}

/* What may part two attributes, runs of it counted once: real pages have long runs of white space.
 */
static size_t n_separators(const char *s, size_t n)
{
    size_t n_found = 0;
    bool was = false;
    for (size_t i = 0; i < n; i++) {
        const bool is = (unsigned char)s[i] <= ' ' || s[i] == '"' || s[i] == '\'' || s[i] == '/';
        n_found += is && !was;
        was = is;
    }
    return n_found;
}

static void feed(struct state *s, const char *text, size_t n_bytes)
{
    static const char close_tag[] = "\"'>"; /* ends a tag from within any attribute */
    for (size_t i = 0; i < n_bytes; i += PIECE_BYTES) {
        const size_t n = n_bytes - i < PIECE_BYTES ? n_bytes - i : PIECE_BYTES;
        s->n_separators += n_separators(text + i, n);
        htmlParseChunk(s->parser, text + i, (int)n, 0);
        if (s->n_separators > MAX_SEPARATORS) {
            s->n_separators = 0;
            htmlParseChunk(s->parser, close_tag, sizeof close_tag - 1, 0);
        }
        if (clock_ns() > s->end_ns) return;
    }
    htmlParseChunk(s->parser, NULL, 0, 1);
}

bool html_parse(const char *text, size_t n_bytes, struct html_page *out, struct err *err)
{
    htmlSAXHandler sax = {.startElement = on_start,
                          .endElement = on_end,
                          .characters = on_text,
                          .cdataBlock = on_text,
                          .ignorableWhitespace = on_text,
                          .comment = on_comment,
                          .warning = ignore,
                          .error = ignore,
                          .fatalError = ignore};
    *out = (struct html_page){0};
    buf_init(&out->text, MAX_BYTES);
    buf_init(&out->title, 4096);
    out->node = calloc(256, sizeof *out->node);
    struct state *s = calloc(1, sizeof *s);
    if (s) s->parser = htmlCreatePushParserCtxt(&sax, s, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (!out->node || !s || !s->parser) {
        free(s);
        return err_set(err, ERR_MEMORY, "no memory to parse the page");
    }
    out->cap_nodes = 256;
    out->n_nodes = 1; /* the root */
    s->page = out;
    s->end_ns = clock_ns() + MAX_NS;
    htmlCtxtUseOptions(s->parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                      HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC);
    if (n_bytes > MAX_BYTES) n_bytes = MAX_BYTES;
    feed(s, text, n_bytes);
    end_block(s);
    xmlDocPtr doc = s->parser->myDoc;
    htmlFreeParserCtxt(s->parser);
    if (doc) xmlFreeDoc(doc);
    free(s);
    return true;
}

void html_page_release(struct html_page *p)
{
    buf_release(&p->text);
    buf_release(&p->title);
    free(p->node);
    free(p->block);
    *p = (struct html_page){0};
}
