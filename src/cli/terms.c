/* SPDX-License-Identifier: Apache-2.0
 *
 * terms.c - what the Llama 3 licences ask of whoever hands on a model or one made from it.
 *
 * Told once a run, where a copy or a derived model is made, and by inspect. 3.1 and later shortened
 * both the line and the name. What binds is the licence's own text, which travels with the files.
 */
#include "cli/terms.h"

#include <stdio.h>
#include <string.h>

#define BUILT_WITH_LATER "Built with Llama" /* from 3.1 on */

static bool put_terms(const char *built_with, char out[TERMS_BYTES])
{
    if (!built_with) return false;
    snprintf(out, TERMS_BYTES,
             "its licence asks: show \"%s\" where you hand it on or build on it, and let names of "
             "derived models begin with \"%s\"",
             built_with, strcmp(built_with, BUILT_WITH_LATER) == 0 ? "Llama" : "Llama 3");
    return true;
}

bool terms_of(const char *text, char out[TERMS_BYTES])
{
    return put_terms(model_built_with(text), out);
}

bool terms_of_model(const struct model_info *info, char out[TERMS_BYTES])
{
    return put_terms(info->built_with, out);
}
