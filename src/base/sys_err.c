/* SPDX-License-Identifier: Apache-2.0
 *
 * sys_err.c - the system's refusals with their remedies, one row each.
 *
 * A message that ends in "No space left on device" leaves the person to find out what to do; the
 * row says it. Codes without a row get the general advice.
 */
#include "base/sys_err.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/checked.h"

static const struct {
    int code;
    const char *text;
} remedies[] = {
    /* clang-format off */
    /* code         remedy                                                              */
    {ENOENT,        "check the path"},
    {ENOTDIR,       "check the path: a part of it is a file, not a directory"},
    {EISDIR,        "name a file inside the directory"},
    {ENAMETOOLONG,  "choose a shorter name"},
    {ELOOP,         "check the path: its symbolic links go in a circle"},
    {EACCES,        "check the permissions"},
    {EPERM,         "check the permissions"},
    {EROFS,         "choose another place: this file system is read-only"},
    {ENOSPC,        "free disk space or choose another disk"},
    {EDQUOT,        "free disk space: the quota is used up"},
    {EFBIG,         "raise the limit of file sizes (ulimit -f) or choose another file system"},
    {EMFILE,        "raise the limit of open files (ulimit -n)"},
    {ENFILE,        "close other programs: the system has too many open files"},
    {ENOMEM,        "free memory"},
    {EPIPE,         "keep the reader of the pipe open"},
    {EIO,           "check the disk"},
    /* clang-format on */
};

const char *sys_remedy(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
        if (remedies[i].code == code) return remedies[i].text;
    return "check the path and the disk";
}

const char *sys_reason(int code)
{
    const char *text = strerrordesc_np(code); /* not strerror: that one is for one thread */
    return text ? text : "unknown error";
}

bool sys_err(struct err *err, const char *path, const char *doing, int code)
{
    return err_set(err, ERR_IO, "%s: cannot %s: %s; %s", path, doing, sys_reason(code),
                   sys_remedy(code));
}

int sys_open(const char *path, int flags, mode_t mode)
{
    int fd = -1;
    do fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}
