/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd_help.c - `cria help`, `cria version`: what there is, and what this program was built with.
 *
 * `help --man` and `help --completion` print what `make install` installs, from the same tables as
 * the help on the terminal.
 */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "base/os.h"
#include "base/table.h"
#include "cli/command.h"
#include "cria_version.h"
#include "tensor/ops.h"

static const char *const *shells(void) { return completion_shells; }

static int help_run(const struct args *a, struct err *err)
{
    const char *shell = args_str(a, "completion");
    if (shell) return completion_script(shell, stdout) ? 0 : 1;
    if (args_flag(a, "names")) {
        for (const struct command *const *c = commands; *c; c++) printf("%s\n", (*c)->name);
        return 0;
    }
    const struct command *cmd = NULL;
    if (args_n_operands(a) > 0) {
        const char *word = args_operand(a, 0);
        cmd = command_find(word);
        if (!cmd) {
            const char *near = table_nearest_ptr((const void *const *)commands, word);
            err_set(err, ERR_USAGE, "unknown command \"%s\"; %s%s", word,
                    near ? "did you mean " : "cria help lists them", near ? near : "");
            return 2;
        }
    }
    if (args_flag(a, "man"))
        man_page(cmd, stdout);
    else if (cmd)
        help_command(cmd, stdout);
    else
        help_overview(stdout);
    return 0;
}

static const struct option help_options[] = {
    /* clang-format off */
    {"man",        0, NULL,    OPT_FLAG, 0, 0, NULL, NULL,   false, "print the man page (mdoc)"},
    {"names",      0, NULL,    OPT_FLAG, 0, 0, NULL, NULL,   false, "print the names of the commands"},
    {"completion", 0, "SHELL", OPT_NAME, 0, 0, NULL, shells, false, "print the completion script"},
    {0},
    /* clang-format on */
};

const struct command cmd_help = {
    .name = "help",
    .what = "what the commands and their options are",
    .operands = "[COMMAND]",
    .max_operands = 1,
    .options = help_options,
    .example = "  cria help quantize\n  cria help --man chat | mandoc -l\n"
               "  cria help --completion bash > /etc/bash_completion.d/cria",
    .run = help_run,
};

static void version_json(void)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    json_key_cstring(&w, "version", CRIA_VERSION);
    json_key_cstring(&w, "compiler", __VERSION__);
    json_key(&w, "kernels");
    json_array(&w);
    for (int i = 0; i < ops_n_variants(); i++) json_cstring(&w, ops_variant(i)->name);
    json_end(&w);
    json_key_int(&w, "cores", os_cores());
    json_key_int(&w, "threads", os_threads());
    json_key_uint(&w, "memory_bytes", os_memory_total());
    json_end(&w);
    printf("%s\n", b.data);
    buf_release(&b);
}

static int version_run(const struct args *a, struct err *err)
{
    (void)err;
    if (args_flag(a, "json")) {
        version_json();
        return 0;
    }
    printf("cria %s\nkernels on this machine:", CRIA_VERSION);
    for (int i = 0; i < ops_n_variants(); i++) printf(" %s", ops_variant(i)->name);
    printf(" (the last is used)\ncores: %d, hardware threads: %d, memory: %.1f GB\n", os_cores(),
           os_threads(), (double)os_memory_total() / 1e9);
    return 0;
}

static const struct option version_options[] = {
    /* clang-format off */
    {"json", 0, NULL, OPT_FLAG, 0, 0, NULL, NULL, false, "as JSON"},
    {0},
    /* clang-format on */
};

const struct command cmd_version = {
    .name = "version",
    .what = "version, kernel sets and machine",
    .options = version_options,
    .run = version_run,
};
