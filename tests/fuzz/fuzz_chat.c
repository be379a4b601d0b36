/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_chat.c - any text as a chat template: told apart without running it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char *text = malloc(n_bytes + 1);
    if (!text) return 0;
    if (n_bytes) memcpy(text, data, n_bytes);
    text[n_bytes] = 0;
    const struct chat_family *f = chat_family_of_template(text);
    if (f) assert(chat_family_by_name(f->name) == f && f->matches(text));
    free(text);
    return 0;
}
