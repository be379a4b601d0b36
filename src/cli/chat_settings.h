/* chat_settings.h - how a chat's answers are drawn, and changing it while the chat goes on.
 *
 * The names, ranges and messages are those of the command line: a setting is kept as the words that
 * one would have written there, and parsed by the same rows. One thread at a time.
 */
#ifndef CRIA_CLI_CHAT_SETTINGS_H
#define CRIA_CLI_CHAT_SETTINGS_H

#include <stdio.h>

#include "cli/options.h"

extern const struct option_group answer_group; /* -n, --context-shift */

struct chat_settings {
    char **word; /* "--temp=0.5"; [n_words] */
    int n_words;
    struct args *parsed; /* keeps `word` */
};

/* Begins with what the command line gave. Copies. */
bool chat_settings_init(struct chat_settings *s, const struct args *a, struct err *err) CRIA_CHECK;
void chat_settings_release(struct chat_settings *s);

/* Sets one; `value` NULL for flags, "off" takes a flag away. On failure (ERR_USAGE) nothing has
 * changed. */
bool chat_settings_set(struct chat_settings *s, const char *name, const char *value,
                       const struct tokenizer *t, struct err *err) CRIA_CHECK;

/* One line a setting, or only the named one; false if there is none of that name. */
bool chat_settings_show(const struct chat_settings *s, const char *name, FILE *out);

/* The sampling as it stands; `bias` as for options_sampling(). */
bool chat_settings_sampling(const struct chat_settings *s, const struct tokenizer *t,
                            struct logit_bias bias[SAMPLER_MAX_BIAS], struct sampler_params *out,
                            struct err *err) CRIA_CHECK;
int32_t chat_settings_most_tokens(const struct chat_settings *s); /* -1: no limit */
bool chat_settings_shifts(const struct chat_settings *s);

#endif
