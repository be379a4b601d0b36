/* SPDX-License-Identifier: Apache-2.0
 *
 * terms.c - what the Llama 3 licences ask of whoever hands on a model or one made from it.
 *
 * Told once a run, where a copy or a derived model is made, and by inspect. 3.1 and later shortened
 * both the line and the name. What binds is the licence's own text, which travels with the files.
 */
#include "cli/terms.h"

#include <stdio.h>

bool terms_of(const char *text, char out[TERMS_BYTES])
{
    const char *at = model_after_llama3(text);
    if (!at) return false;
    const bool is_later = at[0] == '.' && at[1] >= '1' && at[1] <= '9';
    snprintf(out, TERMS_BYTES,
             "its licence asks: show \"%s\" where you hand it on or build on it, and let names of "
             "derived models begin with \"%s\"",
             is_later ? "Built with Llama" : "Built with Meta Llama 3",
             is_later ? "Llama" : "Llama 3");
    return true;
}

bool terms_of_model(const struct model_info *info, char out[TERMS_BYTES])
{
    return terms_of(info->license, out) || terms_of(info->license_name, out) ||
           terms_of(info->name, out);
}
