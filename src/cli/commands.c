/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.c - the list of commands, in the order in which help shows them: first what people do
 * every day, then what they do to models, then measuring, then the program itself.
 *
 * A new command is its file and two lines here.
 */
#include "cli/command.h"

#include "base/table.h"

extern const struct command cmd_chat, cmd_generate, cmd_serve, cmd_embed;
extern const struct command cmd_index, cmd_search;
extern const struct command cmd_tokenize, cmd_detokenize;
extern const struct command cmd_pull, cmd_inspect, cmd_convert, cmd_quantize, cmd_imatrix;
extern const struct command cmd_perplexity, cmd_bench;
extern const struct command cmd_version, cmd_help;

const struct command *const commands[] = {
    /* clang-format off */
    &cmd_chat, &cmd_generate, &cmd_serve, &cmd_embed, &cmd_tokenize, &cmd_detokenize, /* use */
    &cmd_index, &cmd_search,                                                          /* documents */
    &cmd_pull, &cmd_inspect, &cmd_convert, &cmd_quantize,                             /* change */
    &cmd_imatrix, &cmd_perplexity, &cmd_bench,                                        /* measure */
    &cmd_version, &cmd_help, NULL,
    /* clang-format on */
};

const struct command *command_find(const char *name)
{
    return table_find_ptr((const void *const *)commands, name);
}
