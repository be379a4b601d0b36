/* web_index.h - web pages as sources of an index: fetched, or asked whether they have changed. */
#ifndef CRIA_CLI_WEB_INDEX_H
#define CRIA_CLI_WEB_INDEX_H

#include "cli/web.h"
#include "retrieve/indexing.h"

/* Makes the index hold the page at `url` (web_address()'s form) as it is now. A page that cannot be
 * had or read is logged and counted in stats->n_failed; what is there of it stays. False: the
 * index's own failure, or ERR_CANCELLED. */
bool web_index(struct web *w, struct store *s, const char *url, struct index_stats *stats,
               struct err *err) CRIA_CHECK;

#endif
