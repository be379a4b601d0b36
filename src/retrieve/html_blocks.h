/* html_blocks.h - a page as elements and runs of text, and which of these are its article. Private
 * to the HTML reader. One thread at a time per page; call xmlInitParser() before threads.
 */
#ifndef CRIA_RETRIEVE_HTML_BLOCKS_H
#define CRIA_RETRIEVE_HTML_BLOCKS_H

#include "retrieve/doc.h"

enum html_flag {
    HTML_BOILERPLATE = 1, /* navigation, comments, advertisement, by tag or by name */
    HTML_ARTICLE = 2,     /* says of itself that it is the article */
    HTML_INLINE_LINK = 4, /* <a> */
};

/* An element that can hold blocks, or a link. Its parent has a smaller index; 0 is the root. */
struct html_node {
    int32_t parent;
    unsigned flags;          /* own and inherited boilerplate, own HTML_ARTICLE */
    float weight;            /* what its tag and names say: added to its score */
    float score;             /* html_article.c */
    uint32_t n_text, n_link; /* bytes of text in it, and of that in links */
};

/* A run of text without a block border in it. */
struct html_block {
    enum doc_kind kind;
    int level;
    int32_t node;      /* the innermost element */
    bool is_paragraph; /* the element is p, pre, blockquote or the like: its parent is the container
                        */
    size_t begin, end; /* of html_page.text, before cleaning */
    uint32_t n_link, n_commas;
    bool is_kept; /* html_article.c: belongs to the article */
};

struct html_page {
    struct buf text, title;
    struct html_node *node;
    int32_t n_nodes, cap_nodes;
    struct html_block *block;
    size_t n_blocks, cap_blocks;
    bool is_failed; /* no memory, or more than is kept of one page */
};

/* Parses UTF-8. Stops quietly at its bounds of depth, count and time: what came before is a page.
 * ERR_MEMORY. Release the page in either case. */
bool html_parse(const char *s, size_t n_bytes, struct html_page *out, struct err *err) CRIA_CHECK;
void html_page_release(struct html_page *p);

/* Sets is_kept: the article's blocks, or all but boilerplate if there is no article. */
void html_choose(struct html_page *p);

#endif
