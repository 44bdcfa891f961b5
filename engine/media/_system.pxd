"""The system calls of a tick: a batch of datagrams in, one out, the clock. No allocation, no Python object."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t


cdef extern from *:
    """
    #ifndef PAYTONE_SYSTEM
    #define PAYTONE_SYSTEM
    #include <errno.h>
    #include <netinet/in.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <time.h>
    #include <unistd.h>
    #include <linux/errqueue.h>

    enum { PAYTONE_BATCH = 16, PAYTONE_DATAGRAM = 2048, PAYTONE_ERRORS = 16 };

    /* Comparable with memcmp: all bytes are set. */
    typedef struct { uint16_t family, port; uint8_t ip[16]; } paytone_address;

    typedef struct {
        struct mmsghdr headers[PAYTONE_BATCH];
        struct iovec vectors[PAYTONE_BATCH];
        struct sockaddr_storage from[PAYTONE_BATCH];
        uint8_t data[PAYTONE_BATCH][PAYTONE_DATAGRAM];
    } paytone_batch;

    /* Once for each batch, before its first use. */
    static inline void paytone_prepare(paytone_batch *batch) {
        for (int i = 0; i < PAYTONE_BATCH; i++) {
            batch->vectors[i].iov_base = batch->data[i];
            batch->vectors[i].iov_len = PAYTONE_DATAGRAM;
            memset(&batch->headers[i], 0, sizeof batch->headers[i]);
            batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
            batch->headers[i].msg_hdr.msg_iovlen = 1;
            batch->headers[i].msg_hdr.msg_name = &batch->from[i];
            batch->headers[i].msg_hdr.msg_namelen = sizeof batch->from[i];
        }
    }
    /* Take up to PAYTONE_BATCH datagrams; 0 when there is none, -1 when the system has an error to tell. */
    static inline int paytone_receive(int fd, paytone_batch *batch) {
        int n = recvmmsg(fd, batch->headers, PAYTONE_BATCH, MSG_DONTWAIT, NULL);
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
        for (int i = 0; i < n; i++)  /* the system wrote how much of it was used */
            batch->headers[i].msg_hdr.msg_namelen = sizeof batch->from[i];
        return n;
    }
    /* Empty the socket's queue of errors (IP_RECVERR); how many of them were ICMP's. */
    static inline int paytone_errors(int fd) {
        int found = 0;
        for (int i = 0; i < PAYTONE_ERRORS; i++) {
            uint8_t control[256];
            struct msghdr message;
            memset(&message, 0, sizeof message);
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
                break;
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
                if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
                    struct sock_extended_err error;
                    memcpy(&error, CMSG_DATA(c), sizeof error);
                    found += error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
                }
        }
        return found;
    }
    static inline int paytone_length(const paytone_batch *batch, int i) {
        return (batch->headers[i].msg_hdr.msg_flags & MSG_TRUNC) ? -1 : (int)batch->headers[i].msg_len;
    }
    static inline uint8_t *paytone_data(paytone_batch *batch, int i) { return batch->data[i]; }
    static inline void paytone_wipe(paytone_batch *batch, int i) {
        memset(batch->data[i], 0, batch->headers[i].msg_len < PAYTONE_DATAGRAM ? batch->headers[i].msg_len : PAYTONE_DATAGRAM);
    }
    static inline void paytone_from(const paytone_batch *batch, int i, paytone_address *out) {
        memset(out, 0, sizeof *out);
        out->family = batch->from[i].ss_family;
        if (out->family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)&batch->from[i];
            out->port = ntohs(in->sin_port);
            memcpy(out->ip, &in->sin_addr, 4);
        } else if (out->family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&batch->from[i];
            out->port = ntohs(in6->sin6_port);
            memcpy(out->ip, &in6->sin6_addr, 16);
        }
    }
    /* 1 when the datagram was handed to the system. Never waits. */
    static inline int paytone_send(int fd, const paytone_address *to, const uint8_t *data, int n) {
        struct sockaddr_storage name;
        socklen_t size;
        memset(&name, 0, sizeof name);
        if (to->family == AF_INET) {
            struct sockaddr_in *in = (struct sockaddr_in *)&name;
            in->sin_family = AF_INET;
            in->sin_port = htons(to->port);
            memcpy(&in->sin_addr, to->ip, 4);
            size = sizeof *in;
        } else {
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&name;
            in6->sin6_family = AF_INET6;
            in6->sin6_port = htons(to->port);
            memcpy(&in6->sin6_addr, to->ip, 16);
            size = sizeof *in6;
        }
        ssize_t sent = sendto(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, size);
        /* An ICMP error of an earlier packet is reported once, instead of sending this one. */
        if (sent < 0 && (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH))
            sent = sendto(fd, data, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, size);
        return sent == n;
    }
    /* Ask for what the next leg will touch first, so that it is there when its turn comes. */
    static inline void paytone_fetch(const void *at, size_t n) {
        for (size_t i = 0; i < n; i += 64)
            __builtin_prefetch((const char *)at + i, 1, 3);
    }
    static inline int64_t paytone_clock(clockid_t clock) {
        struct timespec t;
        clock_gettime(clock, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int64_t paytone_monotonic(void) { return paytone_clock(CLOCK_MONOTONIC); }
    static inline int64_t paytone_realtime(void) { return paytone_clock(CLOCK_REALTIME); }
    static inline void paytone_sleep_until(int64_t at) {
        struct timespec t = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) { }
    }
    static inline void paytone_wake(int fd) {
        uint64_t one = 1;
        ssize_t done = write(fd, &one, sizeof one);
        (void)done;  /* a full counter wakes as well */
    }
    #endif
    """
    enum:
        BATCH "PAYTONE_BATCH"
        DATAGRAM "PAYTONE_DATAGRAM"
        FAMILY_INET "AF_INET"
        FAMILY_INET6 "AF_INET6"
    ctypedef struct Address "paytone_address":
        uint16_t family
        uint16_t port
        uint8_t[16] ip
    ctypedef struct Batch "paytone_batch":
        pass
    void batch_prepare "paytone_prepare"(Batch* batch) noexcept nogil
    int batch_receive "paytone_receive"(int fd, Batch* batch) noexcept nogil
    int socket_errors "paytone_errors"(int fd) noexcept nogil
    int batch_length "paytone_length"(const Batch* batch, int i) noexcept nogil
    uint8_t* batch_data "paytone_data"(Batch* batch, int i) noexcept nogil
    void batch_wipe "paytone_wipe"(Batch* batch, int i) noexcept nogil
    void batch_from "paytone_from"(const Batch* batch, int i, Address* out) noexcept nogil
    int send_datagram "paytone_send"(int fd, const Address* to, const uint8_t* data, int n) noexcept nogil
    void fetch "paytone_fetch"(const void* at, size_t n) noexcept nogil
    int64_t monotonic_ns "paytone_monotonic"() noexcept nogil
    int64_t realtime_ns "paytone_realtime"() noexcept nogil
    void sleep_until "paytone_sleep_until"(int64_t at_ns) noexcept nogil
    void wake "paytone_wake"(int fd) noexcept nogil
