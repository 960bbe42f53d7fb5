/* The models that the stand-in can be, in the library's own numbers; written down apart from hardware/mcc_boards.py, so
   that a slip in one shows. */
#include <stddef.h>

enum { CONVERSION, TOGETHER, EITHER }; /* what a period of the pacer starts; EITHER: a scan in burst mode */

typedef struct {
    unsigned product;
    const char *name;
    int bits, sample_bytes, single, differential;
    unsigned single_ranges[8], differential_ranges[8];
    double rate, throughput, clock;
    int pacer, forgets;
    double burst_interval;
    unsigned options, queue; /* queue: 1 channels, 2 ranges, 4 modes */
    int fifo, packet;        /* bytes */
} Model;

typedef struct {
    unsigned code;
    double low, high;
} Range;

static const Range ranges[] = {
    {4, -20, 20}, {5, -10, 10}, {6, -5, 5}, {7, -4, 4}, {8, -2.5, 2.5}, {9, -2, 2}, {10, -1.25, 1.25}, {11, -1, 1},
    {1005, 0, 10}, {1006, 0, 5},
};

#define DIFF_FS {4, 5, 6, 7, 8, 9, 10, 11}
#define FOUR {5, 6, 9, 11}
#define EIGHTEEN {5, 6, 1005, 1006}

static const Model models[] = {
    {0x113, "USB-201", 12, 2, 8, 0, {5}, {0}, 100e3, 100e3, 70e6, CONVERSION, 1, 0, 0x3B, 1, 12288, 64},
    {0x12b, "USB-202", 12, 2, 8, 0, {5}, {0}, 100e3, 100e3, 70e6, CONVERSION, 1, 0, 0x3B, 1, 12288, 64},
    {0x114, "USB-204", 12, 2, 8, 0, {5}, {0}, 500e3, 500e3, 70e6, CONVERSION, 1, 0, 0x3B, 1, 12288, 64},
    {0x12c, "USB-205", 12, 2, 8, 0, {5}, {0}, 500e3, 500e3, 70e6, CONVERSION, 1, 0, 0x3B, 1, 12288, 64},
    {0xe8, "USB-1208FS-Plus", 12, 2, 8, 4, {5}, DIFF_FS, 52e3, 52e3, 60e6, CONVERSION, 1, 0, 0x7B, 3, 16384, 64},
    {0xe9, "USB-1408FS-Plus", 14, 2, 8, 4, {5}, DIFF_FS, 48e3, 48e3, 60e6, CONVERSION, 1, 0, 0x7B, 3, 16384, 64},
    {0xc4, "USB-1208HS", 13, 2, 8, 4, {5, 6, 8, 1005}, {4, 5, 6}, 1e6, 1e6, 40e6, EITHER, 0, 1e-6, 0xFB, 3, 8192, 512},
    {0xea, "USB-1608FS-Plus", 16, 2, 8, 0, FOUR, {0}, 100e3, 400e3, 40e6, TOGETHER, 0, 0, 0x13F, 3, 65536, 64},
    {0x110, "USB-1608G", 16, 2, 16, 8, FOUR, FOUR, 250e3, 250e3, 64e6, EITHER, 0, 2e-6, 0xFB, 3, 8192, 512},
    {0x111, "USB-1608GX", 16, 2, 16, 8, FOUR, FOUR, 500e3, 500e3, 64e6, EITHER, 0, 2e-6, 0xFB, 3, 8192, 512},
    {0xbd, "USB-1608HS", 16, 2, 8, 8, FOUR, FOUR, 250e3, 2e6, 40e6, TOGETHER, 0, 0, 0x7B, 6, 131072, 512},
    {0x13d, "USB-1808", 18, 4, 8, 8, EIGHTEEN, EIGHTEEN, 50e3, 400e3, 100e6, TOGETHER, 0, 0, 0x7B, 7, 32768, 512},
    {0x13e, "USB-1808X", 18, 4, 8, 8, EIGHTEEN, EIGHTEEN, 200e3, 1600e3, 100e6, TOGETHER, 0, 0, 0x7B, 7, 32768, 512},
    {0x132, "USB-TC-32", 24, 4, 0, 0, {0}, {0}, 1, 1, 1, TOGETHER, 0, 0, 0, 0, 0, 64},
};
