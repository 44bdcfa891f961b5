"""The generator's system calls: datagrams in batches, one socket to many addresses of loopback, and the clock."""

from libc.stdint cimport int64_t, uint8_t, uint16_t


cdef extern from *:
    """
    #ifndef PAYTONE_LOAD_WIRE
    #define PAYTONE_LOAD_WIRE
    #include <arpa/inet.h>
    #include <errno.h>
    #include <netinet/in.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/socket.h>
    #include <time.h>

    /* Room for 172 bytes of RTP, what SRTP may want behind them, and a multiple of 4 as libsrtp wants it. */
    enum { LOAD_BATCH = 64, LOAD_ROOM = 384 };

    typedef struct {
        struct mmsghdr headers[LOAD_BATCH];
        struct iovec vectors[LOAD_BATCH];
        struct sockaddr_in names[LOAD_BATCH];
        uint8_t data[LOAD_BATCH][LOAD_ROOM];
    } load_batch;

    static inline void load_init(load_batch *batch) {
        memset(batch, 0, sizeof *batch);
        for (int i = 0; i < LOAD_BATCH; i++) {
            batch->vectors[i].iov_base = batch->data[i];
            batch->vectors[i].iov_len = LOAD_ROOM;
            batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
            batch->headers[i].msg_hdr.msg_iovlen = 1;
            batch->headers[i].msg_hdr.msg_name = &batch->names[i];
        }
    }
    /* Take up to LOAD_BATCH datagrams, cut to LOAD_ROOM; 0 when there is none. */
    static inline int load_receive(int fd, load_batch *batch) {
        for (int i = 0; i < LOAD_BATCH; i++) {  /* a send has set the lengths to its own */
            batch->vectors[i].iov_len = LOAD_ROOM;
            batch->headers[i].msg_hdr.msg_namelen = sizeof batch->names[i];
        }
        int n = recvmmsg(fd, batch->headers, LOAD_BATCH, MSG_DONTWAIT, NULL);
        return n < 0 ? 0 : n;
    }
    static inline int load_length(const load_batch *batch, int i) {
        return batch->headers[i].msg_len < LOAD_ROOM ? (int)batch->headers[i].msg_len : LOAD_ROOM;
    }
    static inline uint8_t *load_data(load_batch *batch, int i) { return batch->data[i]; }
    static inline uint16_t load_port(const load_batch *batch, int i) { return ntohs(batch->names[i].sin_port); }
    static inline void load_address(load_batch *batch, int i, uint16_t port, int length) {
        batch->names[i].sin_family = AF_INET;
        batch->names[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);  /* there is no other address in here */
        batch->names[i].sin_port = htons(port);
        batch->headers[i].msg_hdr.msg_namelen = sizeof batch->names[i];
        batch->vectors[i].iov_len = (size_t)length;
    }
    /* Send the first n; return how many the system did not take. */
    static inline int load_send(int fd, load_batch *batch, int n) {
        int at = 0, failed = 0;
        while (at < n) {
            int sent = sendmmsg(fd, batch->headers + at, (unsigned)(n - at), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent > 0) {
                at += sent;
            } else if (errno != EINTR) {
                at++;
                failed++;
            }
        }
        return failed;
    }
    static inline int64_t load_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline void load_sleep_until(int64_t at) {
        struct timespec t = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) { }
    }
    #endif
    """
    enum:
        LOAD_BATCH
        LOAD_ROOM
    ctypedef struct Batch "load_batch":
        pass
    void batch_init "load_init"(Batch* batch) noexcept nogil
    int batch_receive "load_receive"(int fd, Batch* batch) noexcept nogil
    int batch_length "load_length"(const Batch* batch, int i) noexcept nogil
    uint8_t* batch_data "load_data"(Batch* batch, int i) noexcept nogil
    uint16_t batch_port "load_port"(const Batch* batch, int i) noexcept nogil
    void batch_address "load_address"(Batch* batch, int i, uint16_t port, int length) noexcept nogil
    int batch_send "load_send"(int fd, Batch* batch, int n) noexcept nogil
    int64_t monotonic_ns "load_now"() noexcept nogil
    void sleep_until "load_sleep_until"(int64_t at_ns) noexcept nogil
