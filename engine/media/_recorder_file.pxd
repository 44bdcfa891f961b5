"""The system calls of a recording's file, for the one thread that may wait for them."""

from libc.stdint cimport uint8_t


cdef extern from *:
    """
    #ifndef PAYTONE_RECORDER_FILE
    #define PAYTONE_RECORDER_FILE
    #include <errno.h>
    #include <fcntl.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <sys/stat.h>
    #include <unistd.h>

    /* Each returns 0 or an errno. */
    static inline int paytone_record_open(const char *path, int *fd) {
        do {
            *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
        } while (*fd < 0 && errno == EINTR);
        return *fd < 0 ? errno : 0;
    }
    static inline int paytone_record_write(int fd, const uint8_t *data, size_t n) {
        while (n > 0) {
            ssize_t done = write(fd, data, n);
            if (done < 0 && errno == EINTR)
                continue;
            if (done <= 0)
                return done < 0 ? errno : EIO;
            data += done;
            n -= (size_t)done;
        }
        return 0;
    }
    /* A pipe has no beginning to go back to, and needs no header that is right afterwards. */
    static inline int paytone_record_header(int fd, const uint8_t *header, size_t n) {
        ssize_t done;
        do {
            done = pwrite(fd, header, n, 0);
        } while (done < 0 && errno == EINTR);
        if (done < 0)
            return errno == ESPIPE ? 0 : errno;
        return (size_t)done == n ? 0 : EIO;
    }
    /* Errors of a network file system may wait until here. EINTR has closed it on Linux. */
    static inline int paytone_record_close(int fd) { return close(fd) < 0 && errno != EINTR ? errno : 0; }
    /* No recording replaces another; where the file system cannot promise that, a name is taken on trust. */
    static inline int paytone_record_rename(const char *part, const char *name) {
        if (renameat2(AT_FDCWD, part, AT_FDCWD, name, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EINVAL && errno != ENOSYS)
            return errno;
        return rename(part, name) < 0 ? errno : 0;
    }
    #endif
    """
    int record_open "paytone_record_open"(const char* path, int* fd) noexcept nogil
    int record_write "paytone_record_write"(int fd, const uint8_t* data, size_t n) noexcept nogil
    int record_header "paytone_record_header"(int fd, const uint8_t* header, size_t n) noexcept nogil
    int record_close "paytone_record_close"(int fd) noexcept nogil
    int record_rename "paytone_record_rename"(const char* part, const char* name) noexcept nogil
