/* SPDX-License-Identifier: Apache-2.0
 *
 * export_paths.c - where an export may write, and how a whole directory takes another's place.
 *
 * The source stays mapped while the output is written. A GGUF file that is renamed over its own
 * source would even come out right, and leave the user without the better original: so the source
 * is refused as a target whatever the options say. It is told by device and inode, since links and
 * "./" give a file many names. A split set counts as a whole, and so do all files of a directory.
 *
 * Overwriting a directory removes what was in it. That is done only where it held a model
 * (config.json) and nothing but plain files, by exchanging the two names in one step of the system:
 * at any moment the name leads to a whole model, the old or the new.
 *
 * Begin reading at export_check_target() and export_replace_dir().
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "model/export_parts.h"

#define MAX_PATH_BYTES ((size_t)1 << 16)

/* ---- is it the source? ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Bytes of "NAME" in "NAME-00001-of-00003.gguf", or 0. */
static size_t split_stem(const char *base)
{
    static const char shape[] = "-00000-of-00000.gguf";
    const size_t n = strlen(base), n_end = sizeof shape - 1;
    if (n <= n_end) return 0;
    for (size_t i = 0; i < n_end; i++) {
        const char c = base[n - n_end + i];
        if (shape[i] == '0' ? c < '0' || c > '9' : c != shape[i]) return 0;
    }
    return n - n_end;
}

/* The directory of `path`, as the system knows it. */
static bool stat_parent(const char *path, struct stat *st)
{
    char dir[PATH_MAX];
    const size_t n = (size_t)(path_base(path) - path);
    if (n >= sizeof dir) return false;
    memcpy(dir, path, n);
    dir[n] = '\0';
    return stat(n ? dir : ".", st) == 0;
}

/* True if any file of the directory is the one that `out` describes. */
static bool dir_holds(const char *dir, const struct stat *out)
{
    DIR *d = opendir(dir);
    bool holds = false;
    if (!d) return false;
    for (const struct dirent *e = readdir(d); e && !holds; e = readdir(d)) {
        struct stat st = {0};
        holds = fstatat(dirfd(d), e->d_name, &st, 0) == 0 && is_same(&st, out);
    }
    (void)closedir(d);
    return holds;
}

static bool is_source_file(const char *source, const char *out_path, const struct stat *out)
{
    struct stat st = {0}, a = {0}, b = {0};
    if (path_is_dir(source)) return dir_holds(source, out);
    if (stat(source, &st) == 0 && is_same(&st, out)) return true;
    const char *x = path_base(source), *y = path_base(out_path);
    const size_t n = split_stem(x);
    return n && n == split_stem(y) && memcmp(x, y, n) == 0 && stat_parent(source, &a) &&
           stat_parent(out_path, &b) && is_same(&a, &b);
}

/* True if the source is the directory `out`, or lies somewhere below it. */
static bool is_source_within(const char *source, const char *out)
{
    char *s = realpath(source, NULL), *o = realpath(out, NULL);
    const size_t n = o ? strlen(o) : 0;
    const bool is_within =
        s && o && strncmp(s, o, n) == 0 && (s[n] == '\0' || s[n] == '/' || o[n - 1] == '/');
    free(s);
    free(o);
    return is_within;
}

static bool source_error(const char *out_path, struct err *err)
{
    return err_set(err, ERR_IO, "%s: is where the model comes from; choose another name", out_path);
}

/* ---- may it be replaced? ---- */

/* The first entry that is no plain file, into `name`; "" if there is none. False if unreadable. */
static bool first_odd_entry(const char *dir, char name[256], bool *is_empty)
{
    DIR *d = opendir(dir);
    name[0] = '\0';
    *is_empty = true;
    if (!d) return false;
    for (const struct dirent *e = readdir(d); e && !name[0]; e = readdir(d)) {
        struct stat st = {0};
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        *is_empty = false;
        const bool is_plain = fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                              (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode));
        if (!is_plain) snprintf(name, 256, "%s", e->d_name);
    }
    (void)closedir(d);
    return true;
}

static bool check_dir(const struct model *m, const char *path, bool is_overwriting, struct err *err)
{
    char odd[256];
    bool is_empty = false;
    if (is_source_within(m->info.path, path)) return source_error(path, err);
    if (!first_odd_entry(path, odd, &is_empty))
        return err_set(err, ERR_IO, "%s: cannot be read: %s; choose another name", path,
                       strerror(errno));
    if (is_empty) return true;
    if (!is_overwriting)
        return err_set(err, ERR_IO,
                       "%s: is not empty; choose another name or overwrite it (--overwrite)", path);
    if (odd[0] || !dir_has(path, "config.json"))
        return err_set(err, ERR_USAGE,
                       "%s: holds %s, so it is not overwritten; choose another name or empty it",
                       path, odd[0] ? odd : "no model");
    return true;
}

bool export_check_target(const struct model *m, const char *out_path,
                         const struct export_options *opt, struct err *err)
{
    struct stat st = {0};
    if (!*out_path) return err_set(err, ERR_USAGE, "the output path is empty; name one");
    if (stat(out_path, &st) != 0) return true; /* what else may be wrong shows when it is made */
    if (opt->format == EXPORT_HF) {
        if (S_ISDIR(st.st_mode)) return check_dir(m, out_path, opt->is_overwriting, err);
        return err_set(err, ERR_USAGE,
                       "%s: exists and is no directory, which a Hugging Face model is; choose "
                       "another name",
                       out_path);
    }
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_USAGE, "%s: is a directory; name a file inside it", out_path);
    if (!S_ISREG(st.st_mode)) return true; /* a pipe or device */
    if (is_source_file(m->info.path, out_path, &st)) return source_error(out_path, err);
    return opt->is_overwriting ||
           err_set(err, ERR_IO, "%s: exists; choose another name or overwrite it (--overwrite)",
                   out_path);
}

/* ---- replacing ---- */

/* The plain files of a directory, and then itself. */
static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return;
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
    if (rmdir(dir) != 0) log_warn("%s: the old files could not all be removed", dir);
}

/* Where the system cannot exchange names: two renames, and the first undone if the second fails. */
static bool swap_by_hand(const char *made, const char *path, struct err *err)
{
    struct buf old;
    buf_init(&old, MAX_PATH_BYTES);
    buf_printf(&old, "%s.old", made);
    bool ok = buf_check(&old, path, err);
    if (ok) {
        ok = rename(path, old.data) == 0 && rename(made, path) == 0;
        if (ok)
            (void)rename(old.data, made);
        else
            err_set(err, ERR_IO, "%s: cannot be replaced: %s; choose another name", path,
                    strerror(errno));
        if (!ok && !path_exists(path)) (void)rename(old.data, path);
    }
    buf_release(&old);
    return ok;
}

bool export_replace_dir(const char *made, const char *path, struct err *err)
{
    const bool ok = renameat2(AT_FDCWD, made, AT_FDCWD, path, RENAME_EXCHANGE) == 0 ||
                    swap_by_hand(made, path, err);
    remove_dir(made); /* the old one, or after a failure the new one */
    return ok;
}
