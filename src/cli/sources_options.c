/* SPDX-License-Identifier: Apache-2.0
 *
 * sources_options.c - --index: answers from documents, with references.
 */
#include "cli/options.h"
#include "retrieve/sources.h"

static const struct option rows[] = {
    /* clang-format off */
    /* name     letter arg     kind      min max          default choices rep    help */
    {"index",   0,     "DB",   OPT_FILE, 0,  0,           NULL,   NULL,   false, "answer from the documents of this index (cria index), with references that are checked"},
    {"sources", 0,     "N",    OPT_INT,  1,  SOURCES_MAX, "4",    NULL,   false, "with --index: passages a question, at most"},
    {0},
    /* clang-format on */
};
const struct option_group sources_group = {"Sources", rows};

bool options_sources(const struct args *a, struct sources **out, struct err *err)
{
    const char *path = args_str(a, "index");
    *out = NULL;
    if (!path) return true;
    *out = sources_open(path, (int)args_int(a, "sources"), err);
    return *out != NULL;
}
