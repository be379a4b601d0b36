/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.c - running a converter on a file that a stranger made.
 *
 * A PDF library in our process would bring its licence and its crashes into the server; a child
 * costs some 40 ms. bubblewrap gives it its own namespaces with nothing but /usr (read only),
 * prlimit bounds memory, processor time and processes. As root the user is given up first, since
 * the limit of processes does not bind root. Where bubblewrap is missing or may not make
 * namespaces, nothing is run: there is no switch to go on without.
 */
#include "retrieve/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"

enum { MAX_ARGS = 80 };

static const char *const drop_root[] = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
                                        "--clear-groups", NULL};
static const char *const wrap[] = {"/usr/bin/bwrap",
                                   "--unshare-all",
                                   "--unshare-user",
                                   "--disable-userns",
                                   "--die-with-parent",
                                   "--new-session",
                                   "--clearenv",
                                   "--ro-bind",
                                   "/usr",
                                   "/usr",
                                   "--symlink",
                                   "usr/bin",
                                   "/bin",
                                   "--symlink",
                                   "usr/lib",
                                   "/lib",
                                   "--symlink",
                                   "usr/lib64",
                                   "/lib64",
                                   "--dev",
                                   "/dev",
                                   "--size",
                                   "67108864",
                                   "--tmpfs",
                                   "/tmp",
                                   "--chdir",
                                   "/tmp",
                                   "/usr/bin/prlimit",
                                   "--nproc=64",
                                   "--fsize=67108864",
                                   "--nofile=64",
                                   "--core=0",
                                   NULL};

static void add(const char **argv, size_t *n, const char *const *more)
{
    for (; *more && *n < MAX_ARGS; more++) argv[(*n)++] = *more;
}

static bool check_here(const char *path, const char *package, struct err *err)
{
    if (access(path, X_OK) == 0) return true;
    return err_set(err, ERR_UNSUPPORTED, "%s is not here; install %s", path, package);
}

/* The input as an open file: the child may seek in it, and nobody has to feed a pipe. */
static int input_file(const uint8_t *in, size_t n_in)
{
    const int fd = memfd_create("input", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < n_in) {
        const ssize_t n = write(fd, in + done, n_in - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

static bool start(const char **argv, int in, int out, pid_t *pid)
{
    static char *const no_env[] = {NULL};
    posix_spawn_file_actions_t act;
    if (posix_spawn_file_actions_init(&act) != 0) return false;
    const bool ok =
        posix_spawn_file_actions_adddup2(&act, in, 0) == 0 &&
        posix_spawn_file_actions_adddup2(&act, out, 1) == 0 &&
        posix_spawn_file_actions_addopen(&act, 2, "/dev/null", O_WRONLY, 0) == 0 &&
        posix_spawn(pid, argv[0], &act, NULL, (char *const *)(uintptr_t)argv, no_env) == 0;
    posix_spawn_file_actions_destroy(&act);
    return ok;
}

/* Reads until the end or the deadline. False when time or room ran out. */
static bool drain(int fd, int64_t end_ns, struct buf *out)
{
    for (;;) {
        const int64_t left_ms = (end_ns - clock_ns()) / 1000000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const int rc = left_ms > 0 ? poll(&p, 1, (int)left_ms) : 0;
        if (rc < 0 && errno == EINTR) continue;
        if (rc <= 0) return false;
        char piece[65536];
        const ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0;
        buf_append(out, piece, (size_t)n);
        if (out->is_failed) return false;
    }
}

static bool finish(pid_t pid, bool is_drained, const char *name, const struct buf *out,
                   struct err *err)
{
    int status = 0;
    if (!is_drained) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (out->is_failed)
        return err_set(err, ERR_LIMIT, "%s writes more than %zu bytes; split the file", name,
                       out->max_bytes);
    if (!is_drained) return err_set(err, ERR_LIMIT, "%s takes too long; split the file", name);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    return err_set(err, ERR_FORMAT,
                   "%s fails on it (status %d) or may not be run in a sandbox here; try: bwrap "
                   "--unshare-all --ro-bind /usr /usr --symlink usr/lib64 /lib64 --symlink usr/lib "
                   "/lib /usr/bin/true",
                   name, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

bool sandbox_run(const char *const *argv, const uint8_t *in, size_t n_in,
                 const struct sandbox_limits *limits, struct buf *out, struct err *err)
{
    const char *all[MAX_ARGS + 1] = {NULL};
    char memory[40], cpu[40];
    const char *const more[] = {memory, cpu, NULL};
    size_t n = 0;
    if (!check_here(wrap[0], "bubblewrap", err) ||
        !check_here("/usr/bin/prlimit", "util-linux", err))
        return false;
    snprintf(memory, sizeof memory, "--as=%llu", (unsigned long long)limits->memory_bytes);
    snprintf(cpu, sizeof cpu, "--cpu=%d", limits->wall_s);
    if (geteuid() == 0) add(all, &n, drop_root);
    add(all, &n, wrap);
    add(all, &n, more);
    add(all, &n, argv);

    int pipes[2];
    pid_t pid = 0;
    const int input = input_file(in, n_in);
    if (input < 0) return err_set(err, ERR_IO, "%s: %s", argv[0], strerror(errno));
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        close(input);
        return err_set(err, ERR_IO, "%s: %s", argv[0], strerror(errno));
    }
    const bool is_started = start(all, input, pipes[1], &pid);
    close(input);
    close(pipes[1]);
    bool ok = is_started || err_set(err, ERR_IO, "%s cannot be started", all[0]);
    if (ok) {
        const int64_t end_ns = clock_ns() + limits->wall_s * INT64_C(1000000000);
        ok = finish(pid, drain(pipes[0], end_ns, out), argv[0], out, err);
    }
    close(pipes[0]);
    return ok;
}
