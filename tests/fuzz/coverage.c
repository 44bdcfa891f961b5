/*
 * What libFuzzer's coverage is to clang, for a build by gcc (-fsanitize-coverage=trace-pc): which edges between blocks
 * a run took, and whether there were any that no run before it took. Preloaded by tests/fuzz/drive.py.
 */
#include <stdint.h>
#include <string.h>

enum { EDGES = 1 << 16 };

static uint8_t taken[EDGES];
static uint8_t known[EDGES];
static __thread uintptr_t before;

void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint8_t *edge = &taken[(here ^ (here >> 16) ^ before) & (EDGES - 1)];
    if (*edge != 0xFF) ++*edge;
    before = here >> 1;
}

void paytone_begin(void) {
    memset(taken, 0, sizeof taken);
    before = 0;
}

/* An edge counts anew when it is taken about twice as often as ever before, as in AFL: loops are seen that way. */
static uint8_t bucket(uint8_t n) {
    if (n < 4) return (uint8_t)(n ? 1 << (n - 1) : 0);
    if (n < 8) return 8;
    if (n < 16) return 16;
    if (n < 32) return 32;
    return n < 128 ? 64 : 128;
}

int paytone_new_edges(void) {
    int found = 0;
    for (int i = 0; i < EDGES; i++) {
        uint8_t seen = taken[i] ? bucket(taken[i]) : 0;
        if (seen & ~known[i]) {
            known[i] |= seen;
            found++;
        }
    }
    return found;
}

int paytone_edges(void) {
    int n = 0;
    for (int i = 0; i < EDGES; i++) n += known[i] != 0;
    return n;
}
