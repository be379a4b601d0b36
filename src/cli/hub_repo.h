/* hub_repo.h - what a repository on the hub holds, and which of it a Llama model needs.
 *
 * All files of one pull come from one commit, asked for first, so that an upload in the meantime
 * cannot mix two versions. Names and sizes come from a stranger and are checked here: a name that
 * leaves its directory or holds control characters fails the whole listing. One thread at a time.
 */
#ifndef CRIA_CLI_HUB_REPO_H
#define CRIA_CLI_HUB_REPO_H

#include "cli/fetch.h"
#include "cli/hub.h"

struct hub_file {
    const char *path; /* in the repository: relative, safe */
    uint64_t n_bytes;
    const char *sha256, *git_id; /* one of them is set if the hub promises a sum */
    bool is_wanted;              /* by hub_repo_want() */
};

struct hub_repo {
    const char *name, *endpoint;
    char commit[65];
    struct hub_file *files; /* in the hub's order */
    size_t n_files;
    struct arena *arena;
};

/* False (ERR_USAGE) unless `repo` is OWNER/REPO in the hub's letters. */
bool hub_check_repo(const char *repo, struct err *err) CRIA_CHECK;

/* Asks the hub. Returns owned; keeps `endpoint`. `revision` NULL: main. The error of a refusal says
 * what the user can do: accept a licence, set HF_TOKEN, mend the name. */
struct hub_repo *hub_repo_open(struct fetch *f, const char *endpoint, const char *repo,
                               const char *revision, const struct progress *p, struct err *err);
void hub_repo_close(struct hub_repo *r); /* NULL is fine */

/* Marks what is wanted: `file` (with all parts of a split GGUF), or, if NULL, what a Hugging Face
 * model directory needs. ERR_USAGE names the nearest file, or the GGUF files to choose from. */
bool hub_repo_want(struct hub_repo *r, const char *file, struct err *err) CRIA_CHECK;

/* The address of a file, appended. */
void hub_repo_url(const struct hub_repo *r, const struct hub_file *file, struct buf *out);

/* After a failed fetch from `repo`: the error in words of the hub, if the hub refused. Returns
 * false. */
bool hub_explain(const struct fetch *f, const char *endpoint, const char *repo, struct err *err);

#endif
