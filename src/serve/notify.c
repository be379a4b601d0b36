/* SPDX-License-Identifier: Apache-2.0
 *
 * notify.c - one datagram to NOTIFY_SOCKET.
 *
 * By hand, since the protocol is this and libsystemd brings a compression library and more into
 * the process. A path that begins with @ is a name in the abstract space, where the @ stands for a
 * zero byte. What cannot be sent is dropped: the server works without systemd.
 */
#include "serve/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void notify_init(struct notify *n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    const char *pid = getenv("WATCHDOG_PID");
    const size_t n_path = path ? strlen(path) : 0;
    *n = (struct notify){.to = {.sun_family = AF_UNIX}};
    if (n_path < 2 || n_path >= sizeof n->to.sun_path || !strchr("/@", path[0])) return;
    memcpy(n->to.sun_path, path, n_path);
    if (path[0] == '@') n->to.sun_path[0] = '\0';
    n->n_to = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n_path);
    n->has_watchdog =
        getenv("WATCHDOG_USEC") && (!pid || strtoll(pid, NULL, 10) == (long long)getpid());
}

void notify_say(const struct notify *n, const char *state)
{
    if (n->n_to == 0) return;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    const struct sockaddr *to = (const struct sockaddr *)(const void *)&n->to;
    const ssize_t n_sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, to, n->n_to);
    (void)n_sent;
    close(fd);
}
