/* notify.h - telling systemd how the server is, by sd_notify(3)'s protocol. One thread at a time.
 */
#ifndef CRIA_SERVE_NOTIFY_H
#define CRIA_SERVE_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
    struct sockaddr_un to;
    socklen_t n_to;    /* 0: nobody listens */
    bool has_watchdog; /* signs of life are waited for: "WATCHDOG=1" */
};

/* From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment. */
void notify_init(struct notify *n);
/* Sends a state, "READY=1" or several lines of them; does nothing if nobody listens. */
void notify_say(const struct notify *n, const char *state);

#endif
