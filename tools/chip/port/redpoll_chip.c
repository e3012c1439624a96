// The chip's clock: the counter of the FPGA's system registers of the MPS2 board (Arm DAI 0385, FPGAIO), at its 25 MHz.
#include "py/mphal.h"
#include "py/runtime.h"

#define FPGAIO_COUNTER (*(volatile uint32_t *)0x40028018)
#define COUNTS_PER_US (25)

static uint64_t counts(void) {
    // its 32 bits wrap after 171 s, so it is looked at more often than that by whoever waits
    static uint32_t last;
    static uint64_t high;
    uint32_t now = FPGAIO_COUNTER;
    if (now < last) {
        high += 1ull << 32;
    }
    last = now;
    return high + now;
}

mp_uint_t mp_hal_ticks_us(void) {
    return counts() / COUNTS_PER_US;
}

mp_uint_t mp_hal_ticks_ms(void) {
    return counts() / (COUNTS_PER_US * 1000);
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return counts();
}

uint64_t mp_hal_time_ns(void) {
    return counts() * (1000 / COUNTS_PER_US);
}

void mp_hal_delay_us(mp_uint_t us) {
    for (uint64_t end = counts() + (uint64_t)us * COUNTS_PER_US; counts() < end;) {
        mp_handle_pending(true);
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    mp_hal_delay_us(ms * 1000);
}
