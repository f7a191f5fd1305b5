/*
 * Lets one write or sync of a program fail: LD_PRELOAD library for the fault tests (tests/suite/durability/faults.rs).
 *
 * Counts calls that write to, cut or sync files whose path contains FAULT_FILES, and lets call number FAULT_NTH (from 1)
 * fail with errno FAULT_ERRNO, once. It then makes the file FAULT_FIRED, so that a test knows when a program has no more
 * calls to fail. Kept out of the crate, which has no unsafe code.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long passed;

/* Tells whether this call on the file is the one that fails; sets errno then. */
static int fails(int fd) {
    const char *files = getenv("FAULT_FILES");
    const char *nth = getenv("FAULT_NTH");
    if (files == NULL || nth == NULL) {
        return 0;
    }
    char link[64];
    char path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = '\0';
    if (strstr(path, files) == NULL || atomic_fetch_add(&passed, 1) + 1 != atol(nth)) {
        return 0;
    }
    const char *fired = getenv("FAULT_FIRED");
    if (fired != NULL) {
        int marker = open(fired, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (marker >= 0) {
            close(marker);
        }
    }
    const char *number = getenv("FAULT_ERRNO");
    errno = number == NULL ? EIO : atoi(number);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) {
    return fails(fd) ? -1 : REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    return fails(fd) ? -1 : REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    return fails(fd) ? -1 : REAL(pwrite64)(fd, data, n, at);
}

int ftruncate(int fd, off_t size) {
    return fails(fd) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return fails(fd) ? -1 : REAL(ftruncate64)(fd, size);
}

int fsync(int fd) {
    return fails(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return fails(fd) ? -1 : REAL(fdatasync)(fd);
}
