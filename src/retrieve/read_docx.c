/* SPDX-License-Identifier: Apache-2.0
 *
 * read_docx.c - Word documents: a ZIP archive with the text as XML in word/document.xml.
 *
 * libarchive unpacks, with ceilings; libxml2's reader goes through the elements, so nothing of the
 * size of the document is built. Which styles are headings is told by word/styles.xml (outlineLvl):
 * their names are translated in every language's Word. Entities are never expanded, and a document
 * type is refused, since Word writes none.
 */
#include "retrieve/reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <libxml/xmlreader.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PART_BYTES ((size_t)64 << 20)

enum { MAX_STYLES = 128, MAX_STYLE_NAME = 64, MAX_ENTRIES = 20000 };

enum part { PART_DOCUMENT, PART_STYLES, PART_CORE, N_PARTS };

static const char *const part_names[N_PARTS] = {"word/document.xml", "word/styles.xml",
                                                "docProps/core.xml"};

struct style {
    char id[MAX_STYLE_NAME];
    int level; /* of a heading, from 1 */
};

struct word {
    struct doc *out;
    struct style style[MAX_STYLES];
    int n_styles;
    int level; /* of the paragraph's heading, 0: none */
    bool is_item, is_text, is_title;
    bool is_begun; /* the paragraph has a block */
    int n_rows, n_cells;
};

/* ---- unpacking ---- */

static bool unpack(const struct reader_input *in, struct buf part[N_PARTS], struct err *err)
{
    struct archive *a = archive_read_new();
    struct archive_entry *e = NULL;
    if (!a) return err_set(err, ERR_MEMORY, "no memory to unpack it");
    archive_read_support_format_zip(a);
    int rc = archive_read_open_memory(a, in->data, in->n_bytes);
    bool ok = rc == ARCHIVE_OK;
    for (int n = 0; ok && n < MAX_ENTRIES && (rc = archive_read_next_header(a, &e)) == ARCHIVE_OK;
         n++) {
        const char *name = archive_entry_pathname(e);
        for (int i = 0; name && i < N_PARTS; i++) {
            if (strcmp(name, part_names[i]) != 0 || part[i].n_bytes) continue;
            char piece[16384];
            la_ssize_t got = 0;
            while ((got = archive_read_data(a, piece, sizeof piece)) > 0 && !part[i].is_failed)
                buf_append(&part[i], piece, (size_t)got);
            ok = got >= 0;
        }
    }
    if (!ok || (rc != ARCHIVE_OK && rc != ARCHIVE_EOF))
        ok = err_set(err, ERR_FORMAT, "its ZIP archive is damaged; save it again");
    archive_read_free(a);
    for (int i = 0; ok && i < N_PARTS; i++) ok = buf_check(&part[i], part_names[i], err);
    if (ok && part[PART_DOCUMENT].n_bytes == 0)
        return err_set(err, ERR_FORMAT, "no Word document: it has no %s",
                       part_names[PART_DOCUMENT]);
    return ok;
}

/* ---- XML ---- */

static bool is_named(xmlTextReaderPtr r, const char *name)
{
    const xmlChar *local = xmlTextReaderConstLocalName(r);
    return local && strcmp((const char *)local, name) == 0;
}

static void attribute(xmlTextReaderPtr r, const char *name, char *out, size_t n)
{
    xmlChar *v = xmlTextReaderGetAttribute(r, (const xmlChar *)name);
    out[0] = 0;
    if (v) strncat(out, (const char *)v, n - 1);
    xmlFree(v);
}

static void ignore(void *user, xmlErrorPtr e)
{
    (void)user;
    (void)e;
}

/* Calls fn at every node. */
static bool walk(const struct buf *xml, enum part part, void (*fn)(struct word *, xmlTextReaderPtr),
                 struct word *w, struct err *err)
{
    if (xml->n_bytes == 0) return true;
    xmlTextReaderPtr r =
        xmlReaderForMemory(xml->data, (int)xml->n_bytes, NULL, NULL,
                           XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (!r) return err_set(err, ERR_MEMORY, "no memory to read %s", part_names[part]);
    xmlTextReaderSetStructuredErrorHandler(r, ignore, NULL);
    int rc = 0;
    while ((rc = xmlTextReaderRead(r)) == 1 &&
           xmlTextReaderNodeType(r) != XML_READER_TYPE_DOCUMENT_TYPE)
        fn(w, r);
    xmlFreeTextReader(r);
    if (rc == 1)
        return err_set(err, ERR_FORMAT, "%s has a document type, as Word never writes one",
                       part_names[part]);
    return rc == 0 ||
           err_set(err, ERR_FORMAT, "%s is no XML; save the document again", part_names[part]);
}

static void on_style(struct word *w, xmlTextReaderPtr r)
{
    if (xmlTextReaderNodeType(r) != XML_READER_TYPE_ELEMENT) return;
    if (is_named(r, "style") && w->n_styles < MAX_STYLES) {
        attribute(r, "w:styleId", w->style[w->n_styles].id, MAX_STYLE_NAME);
        w->style[w->n_styles++].level = 0;
    } else if (is_named(r, "outlineLvl") && w->n_styles > 0) {
        char level[8];
        attribute(r, "w:val", level, sizeof level);
        w->style[w->n_styles - 1].level =
            level[0] >= '0' && level[0] <= '5' ? level[0] - '0' + 1 : 0;
    }
}

static void on_core(struct word *w, xmlTextReaderPtr r)
{
    const int type = xmlTextReaderNodeType(r);
    if (type == XML_READER_TYPE_ELEMENT) w->is_title = is_named(r, "title");
    if (type == XML_READER_TYPE_END_ELEMENT) w->is_title = false;
    const char *text = (const char *)xmlTextReaderConstValue(r);
    if (type == XML_READER_TYPE_TEXT && w->is_title && text)
        doc_set_title(w->out, text, strlen(text));
}

static int level_of(const struct word *w, const char *id)
{
    for (int i = 0; i < w->n_styles; i++)
        if (strcmp(w->style[i].id, id) == 0 && w->style[i].level) return w->style[i].level;
    if (strncmp(id, "Heading", 7) == 0 && id[7] >= '1' && id[7] <= '6') return id[7] - '0';
    return strcmp(id, "Title") == 0 ? 1 : 0;
}

/* The paragraph's block begins with its first text, when its properties are known. */
static void put(struct word *w, const char *s, size_t n)
{
    if (!w->is_begun && w->n_rows == 0)
        doc_begin(w->out, w->level ? DOC_HEADING : w->is_item ? DOC_ITEM : DOC_PARAGRAPH, w->level);
    w->is_begun = true;
    doc_text(w->out, s, n);
}

static void on_element(struct word *w, xmlTextReaderPtr r)
{
    char value[MAX_STYLE_NAME];
    if (is_named(r, "p")) {
        if (w->is_begun && w->n_rows > 0) doc_space(w->out);
        w->is_begun = w->is_item = false;
        w->level = 0;
    } else if (is_named(r, "pStyle")) {
        attribute(r, "w:val", value, sizeof value);
        w->level = level_of(w, value);
    } else if (is_named(r, "numPr")) {
        w->is_item = true;
    } else if (is_named(r, "tr")) {
        if (w->n_rows++ == 0) doc_begin(w->out, DOC_ROW, 0);
        w->n_cells = 0;
    } else if (is_named(r, "tc")) {
        if (w->n_cells++ > 0) doc_text(w->out, " | ", 3);
    } else if (is_named(r, "tab") || is_named(r, "br")) {
        if (w->is_begun) doc_space(w->out);
    }
    w->is_text = is_named(r, "t");
}

static void on_node(struct word *w, xmlTextReaderPtr r)
{
    const int type = xmlTextReaderNodeType(r);
    if (type == XML_READER_TYPE_ELEMENT) {
        on_element(w, r);
        if (is_named(r, "tr") && xmlTextReaderIsEmptyElement(r)) w->n_rows--;
    } else if (type == XML_READER_TYPE_END_ELEMENT) {
        if (is_named(r, "tr") && w->n_rows > 0) w->n_rows--;
        w->is_text = false;
    } else if (w->is_text && (type == XML_READER_TYPE_TEXT || type == XML_READER_TYPE_CDATA ||
                              type == XML_READER_TYPE_SIGNIFICANT_WHITESPACE)) {
        const char *text = (const char *)xmlTextReaderConstValue(r);
        if (text) put(w, text, strlen(text));
    }
}

static bool read_docx(const struct reader_input *in, struct doc *out, struct err *err)
{
    struct buf part[N_PARTS];
    for (int i = 0; i < N_PARTS; i++) buf_init(&part[i], MAX_PART_BYTES);
    struct word *w = calloc(1, sizeof *w);
    bool ok = w || err_set(err, ERR_MEMORY, "no memory to read it");
    if (ok) {
        w->out = out;
        ok = unpack(in, part, err) && walk(&part[PART_STYLES], PART_STYLES, on_style, w, err) &&
             walk(&part[PART_CORE], PART_CORE, on_core, w, err) &&
             walk(&part[PART_DOCUMENT], PART_DOCUMENT, on_node, w, err);
    }
    doc_end(out);
    free(w);
    for (int i = 0; i < N_PARTS; i++) buf_release(&part[i]);
    return ok;
}

static const char *const extensions[] = {"docx", "docm", NULL};

const struct reader reader_docx = {
    .name = "docx",
    .what = "Word documents",
    .extensions = extensions,
    .mime = "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    .read = read_docx,
};
