/* Preloaded by soak.py: kills the process inside a write. A write to a file below $SOAK_AREA gets half of its bytes out
 * and no further, a file that is whole is not moved into place. Which one it is, is drawn: one in $SOAK_ONE_IN, once for
 * all processes, as long as $SOAK_TRIGGER can be taken away. Each is noted in $SOAK_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef ssize_t (*write_)(int, const void *, size_t);

static write_ real_write(void) {
    static write_ found;
    if (!found) found = (write_)dlsym(RTLD_NEXT, "write");
    return found;
}

static int below_area(const char *path) {
    const char *area = getenv("SOAK_AREA");
    return area && strncmp(path, area, strlen(area)) == 0;
}

/* Whether to die here. */
static int drawn(void) {
    static unsigned seed;
    const char *trigger = getenv("SOAK_TRIGGER"), *one_in = getenv("SOAK_ONE_IN");
    if (!trigger || !one_in || strncmp(program_invocation_short_name, "python", 6)) return 0; /* no compiler's */
    if (!seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed = now.tv_nsec ^ getpid();
    }
    return rand_r(&seed) % atoi(one_in) == 0 && unlink(trigger) == 0;
}

static void die(const char *kind, const char *path) {
    char line[PATH_MAX + 64];
    const char *log = getenv("SOAK_LOG");
    const int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    const int length = snprintf(line, sizeof line, "%s %d %s\n", kind, getpid(), path);
    if (fd >= 0 && real_write()(fd, line, length) < 0) _exit(1);
    kill(getpid(), SIGKILL);
    pause();
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char link[64], path[PATH_MAX];
    if (getenv("SOAK_AREA") && count > 1) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        const ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0 && (path[length] = 0, below_area(path)) && drawn()) {
            if (real_write()(fd, bytes, count / 2) >= 0) die("write", path);
        }
    }
    return real_write()(fd, bytes, count);
}

int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (!real) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    if (below_area(to) && drawn()) die("rename", to);
    return real(from, to);
}
