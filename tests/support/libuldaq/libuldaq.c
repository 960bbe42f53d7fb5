/*
 * A stand-in for libuldaq: imagined boards on an imagined USB, for tests of the unmodified Python wheel and what uses it.
 *
 * Written from the library's documented interface and observed behaviour: structures, codes, order of checks, the ring
 * that is written round and round, transfers of whole packets every 10 ms, the pacer's arithmetic (and the period that
 * it forgets), what is reported after an overrun and what is not after an unplugged cable.
 *
 * What is plugged in, what it measures and what goes wrong is told by lines appended to the file `boards` beside this
 * library; they are read at every call and every 2 ms while a scan runs:
 *
 *     reset                             no board, default everything; running scans die
 *     board SERIAL PRODUCT              plug in a board, PRODUCT as in lsusb (hexadecimal)
 *     unplug SERIAL [silent]            pull it out; silent: the library never notices
 *     plug SERIAL [first]               put it back, at the end of the inventory or at its beginning
 *     input SERIAL K AMPLITUDE ANGLE [OFFSET]   volts and radians at input K: OFFSET + AMPLITUDE cos(2 pi f t + ANGLE)
 *     set SERIAL NAME VALUE             see struct board: numbers
 *
 * t is UTC, so that a time stamp can be judged by the phase of what was sampled. Samples are the converter's codes,
 * saturated, then calibrated with `gain` and `zero`, as the library does it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "boards.h"

typedef struct {
    char productName[64];
    unsigned productId, devInterface;
    char devString[64], uniqueId[64], reserved[512];
} DaqDeviceDescriptor;
typedef struct {
    unsigned long long currentScanCount, currentTotalCount;
    long long currentIndex;
    char reserved[64];
} TransferStatus;
typedef struct {
    unsigned channel, inputMode, range;
    char reserved[64];
} AiQueueElement;
typedef void (*DaqEventCallback)(long long handle, unsigned type, unsigned long long data, void *user);

_Static_assert(sizeof(DaqDeviceDescriptor) == 712, "descriptor");
_Static_assert(sizeof(TransferStatus) == 88, "transfer status");
_Static_assert(sizeof(AiQueueElement) == 76, "queue element");

enum {
    OK = 0, BAD_HANDLE = 2, BAD_DEV_TYPE = 3, NO_PERMISSION = 4, CLAIMED = 5, NOT_FOUND = 6, NOT_CONNECTED = 7,
    DEAD = 8, BAD_BUFFER_SIZE = 9, BAD_BUFFER = 10, BAD_RANGE = 13, BAD_CHANNEL = 14, BAD_MODE = 15,
    ALREADY_ACTIVE = 16, BAD_TRIGGER = 17, OVERRUN = 18, BAD_OPTION = 21, BAD_RATE = 22, BAD_QUEUE_SIZE = 30,
    BAD_INFO_ITEM = 32, BAD_FLAG = 33, BAD_COUNT = 34, BAD_QUEUE_CHANNEL = 39, BAD_QUEUE_GAIN = 40,
    NO_CONNECTION = 73, BAD_EVENT = 74, EVENT_ENABLED = 75, BAD_EVENT_SIZE = 76, FIRMWARE = 93,
};
enum { SINGLEIO = 1, BLOCKIO = 2, BURSTIO = 4, CONTINUOUS = 8, EXTCLOCK = 16, EXTTRIGGER = 32, BURSTMODE = 128 };
enum { MAX_BOARDS = 8, MAX_DEVICES = 16, MAX_INPUTS = 16 };

typedef struct {
    char serial[64];
    const Model *model;
    int plugged, silent;
    double amplitude[MAX_INPUTS], angle[MAX_INPUTS], offset[MAX_INPUTS];
    /* What `set` can change. */
    double frequency;     /* of the signal [Hz] */
    double ppm;           /* by how much the crystal runs fast */
    double true_rate;     /* instead of what the pacer does [Hz]; 0 for that */
    double returned_rate; /* instead of what the library works out [Hz]; 0 for that */
    double gain, zero;    /* of the calibration: what a code means is gain * volts + zero */
    double permission;    /* 0: may not be opened */
    double claimed;       /* 1: another process has it */
    double firmware;      /* 0: too old */
    double scan_code;     /* code that the next scan is refused with */
    double stall;         /* 1: runs on, and delivers nothing */
    double overrun;       /* 1: its buffer runs over once */
    double jitter;        /* transfers come up to so much later [s] */
    double pulse;         /* the trigger's edge comes at whole multiples of this [s]; 0: never */
    double external_rate; /* of the pulses at the clock input, for a whole scan [Hz]; 0: as asked for */
} Board;

static const struct { const char *name; size_t place; double standard; } settings[] = {
    {"frequency", offsetof(Board, frequency), 50}, {"ppm", offsetof(Board, ppm), 0},
    {"true_rate", offsetof(Board, true_rate), 0}, {"returned_rate", offsetof(Board, returned_rate), 0},
    {"gain", offsetof(Board, gain), 1}, {"zero", offsetof(Board, zero), 0},
    {"permission", offsetof(Board, permission), 1}, {"claimed", offsetof(Board, claimed), 0},
    {"firmware", offsetof(Board, firmware), 1}, {"scan_code", offsetof(Board, scan_code), 0},
    {"stall", offsetof(Board, stall), 0}, {"overrun", offsetof(Board, overrun), 0},
    {"jitter", offsetof(Board, jitter), 0}, {"pulse", offsetof(Board, pulse), 1},
    {"external_rate", offsetof(Board, external_rate), 0},
};

typedef struct {
    int used, connected, dead, generation;
    Board *board;
    DaqDeviceDescriptor descriptor;
    AiQueueElement queue[MAX_INPUTS];
    unsigned queue_length;
    unsigned trigger;
    /* the scan */
    pthread_t thread;
    int running, joinable, quit;
    unsigned error;
    int count, inputs[MAX_INPUTS];
    const Range *ranges[MAX_INPUTS];
    long ring; /* samples */
    double *data, rate, skew_step;
    unsigned options;
    unsigned long long total;
    long stage;
    struct timespec started, utc;
    /* events */
    unsigned events;
    DaqEventCallback callback[3];
    void *user[3];
    unsigned long long event_every, event_next;
} Device;

static Board boards[MAX_BOARDS];
static Board *order[MAX_BOARDS];
static int n_order;
static Device devices[MAX_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long read_so_far;
static char read_at[1]; /* an address inside this library */

static double seconds(struct timespec time) { return time.tv_sec + 1e-9 * time.tv_nsec; }

static double since(struct timespec then) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - then.tv_sec) + 1e-9 * (now.tv_nsec - then.tv_nsec);
}

/* ---- what the test says ---- */

static Board *board_of(const char *serial) {
    for (int k = 0; k < MAX_BOARDS; k++)
        if (boards[k].model && strcmp(boards[k].serial, serial) == 0) return &boards[k];
    return NULL;
}

static void remove_from_order(Board *board) {
    int kept = 0;
    for (int k = 0; k < n_order; k++)
        if (order[k] != board) order[kept++] = order[k];
    n_order = kept;
}

static void plug(Board *board, int first) {
    remove_from_order(board);
    if (first) {
        memmove(order + 1, order, n_order * sizeof *order);
        order[0] = board;
    } else
        order[n_order] = board;
    n_order++;
    board->plugged = 1;
    board->silent = 0;
}

static void unplug(Board *board, int silent) {
    remove_from_order(board);
    board->plugged = 0;
    board->silent = silent;
    for (int k = 0; k < MAX_DEVICES; k++)
        if (devices[k].used && devices[k].board == board) devices[k].dead = 1;
}

static void obey(const char *line) {
    char word[32], serial[64], name[64];
    unsigned product;
    int input, taken = 0;
    double a, b, c;
    if (sscanf(line, "%31s", word) != 1) return;
    if (strcmp(word, "reset") == 0) {
        for (int k = 0; k < MAX_DEVICES; k++) devices[k].dead = 1;
        for (int k = 0; k < MAX_BOARDS; k++) boards[k].model = NULL, boards[k].plugged = boards[k].silent = 0;
        n_order = 0;
        return;
    }
    if (sscanf(line, "%*s %63s%n", serial, &taken) != 1) return;
    Board *board = board_of(serial);
    if (strcmp(word, "board") == 0 && sscanf(line + taken, "%x", &product) == 1) {
        for (int k = 0; !board && k < MAX_BOARDS; k++)
            if (!boards[k].model) board = &boards[k];
        if (!board) return;
        memset(board, 0, sizeof *board);
        memcpy(board->serial, serial, sizeof board->serial);
        for (size_t k = 0; k < sizeof models / sizeof *models; k++)
            if (models[k].product == product) board->model = &models[k];
        for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
            *(double *)((char *)board + settings[k].place) = settings[k].standard;
        if (board->model) plug(board, 0);
    } else if (!board)
        return;
    else if (strcmp(word, "unplug") == 0)
        unplug(board, strstr(line + taken, "silent") != NULL);
    else if (strcmp(word, "plug") == 0)
        plug(board, strstr(line + taken, "first") != NULL);
    else if (strcmp(word, "input") == 0) {
        int found = sscanf(line + taken, "%d %lf %lf %lf", &input, &a, &b, &c);
        if (found < 3 || input < 0 || input >= MAX_INPUTS) return;
        board->amplitude[input] = a;
        board->angle[input] = b;
        board->offset[input] = found > 3 ? c : 0;
    } else if (strcmp(word, "set") == 0 && sscanf(line + taken, "%63s %lf", name, &a) == 2)
        for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
            if (strcmp(settings[k].name, name) == 0) *(double *)((char *)board + settings[k].place) = a;
}

/* Read the lines that are new; called with the lock held. */
static void listen_to_test(void) {
    static char path[512];
    struct stat facts;
    Dl_info own;
    if (!*path && dladdr(read_at, &own) && own.dli_fname) {
        const char *end = strrchr(own.dli_fname, '/');
        snprintf(path, sizeof path, "%.*sboards", end ? (int)(end - own.dli_fname) + 1 : 0, own.dli_fname);
    }
    if (stat(path, &facts) || facts.st_size == read_so_far) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    char line[256];
    fseek(file, read_so_far, SEEK_SET);
    while (fgets(line, sizeof line, file) && strchr(line, '\n')) {
        read_so_far = ftell(file);
        obey(line);
    }
    fclose(file);
}

static void enter(void) {
    pthread_mutex_lock(&lock);
    listen_to_test();
}

static unsigned leave(unsigned code) {
    pthread_mutex_unlock(&lock);
    return code;
}

static Device *device_of(long long handle) {
    return handle >= 1 && handle <= MAX_DEVICES && devices[handle - 1].used ? &devices[handle - 1] : NULL;
}

/* ---- devices ---- */

static void describe(const Board *board, DaqDeviceDescriptor *descriptor) {
    memset(descriptor, 0, sizeof *descriptor);
    strcpy(descriptor->productName, board->model->name);
    strcpy(descriptor->devString, board->model->name);
    strcpy(descriptor->uniqueId, board->permission ? board->serial : "NO PERMISSION");
    descriptor->productId = board->model->product;
    descriptor->devInterface = 1;
}

unsigned ulGetDaqDeviceInventory(unsigned interface, DaqDeviceDescriptor *found, unsigned *count) {
    enter();
    unsigned room = *count, n = interface & 1 ? n_order : 0;
    *count = n;
    if (room < n) return leave(BAD_BUFFER_SIZE);
    for (unsigned k = 0; k < n; k++) describe(order[k], &found[k]);
    return leave(OK);
}

long long ulCreateDaqDevice(DaqDeviceDescriptor descriptor) {
    enter();
    for (int k = 0; k < MAX_DEVICES; k++) /* one that was not released is handed out again, dead or alive */
        if (devices[k].used && memcmp(&devices[k].descriptor, &descriptor, sizeof descriptor) == 0)
            return leave(0), k + 1;
    Board *board = NULL;
    for (int k = 0; k < n_order; k++) {
        DaqDeviceDescriptor own;
        describe(order[k], &own);
        if (memcmp(&own, &descriptor, sizeof own) == 0) board = order[k];
    }
    for (int k = 0; k < MAX_BOARDS && !board; k++) /* not there any more: found out at the connection */
        if (boards[k].model && strcmp(boards[k].serial, descriptor.uniqueId) == 0) board = &boards[k];
    for (int k = 0; board && k < MAX_DEVICES; k++)
        if (!devices[k].used) {
            memset(&devices[k], 0, sizeof devices[k]);
            devices[k].used = 1;
            devices[k].board = board;
            devices[k].descriptor = descriptor;
            devices[k].trigger = 1;
            return leave(0), k + 1;
        }
    return leave(0), 0;
}

unsigned ulGetDaqDeviceDescriptor(long long handle, DaqDeviceDescriptor *descriptor) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    *descriptor = device->descriptor;
    return leave(OK);
}

unsigned ulConnectDaqDevice(long long handle) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    if (device->dead || !device->board->plugged) return leave(NOT_FOUND);
    if (!device->board->permission) return leave(NO_PERMISSION);
    if (device->board->claimed) return leave(CLAIMED);
    if (!device->board->firmware) return leave(FIRMWARE);
    for (int k = 0; k < MAX_DEVICES; k++)
        if (devices[k].used && &devices[k] != device && devices[k].connected && devices[k].board == device->board &&
            !devices[k].dead)
            return leave(CLAIMED);
    device->connected = 1;
    return leave(OK);
}

static unsigned stop(Device *device) {
    int joinable = device->joinable;
    device->quit = 1;
    device->joinable = 0;
    pthread_mutex_unlock(&lock);
    if (joinable) pthread_join(device->thread, NULL);
    pthread_mutex_lock(&lock);
    device->running = 0;
    return device->dead ? NOT_CONNECTED : OK;
}

unsigned ulDisconnectDaqDevice(long long handle) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    if (!device->connected) return leave(NO_CONNECTION);
    stop(device);
    device->connected = 0;
    return leave(OK);
}

unsigned ulReleaseDaqDevice(long long handle) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    stop(device);
    device->used = 0;
    return leave(OK);
}

unsigned ulIsDaqDeviceConnected(long long handle, int *connected) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    *connected = device->connected; /* an unplugged one is still "connected" */
    return leave(OK);
}

unsigned ulDevGetInfo(long long handle, unsigned item, unsigned index, long long *value) {
    (void)index;
    if (!device_of(handle)) return BAD_HANDLE;
    *value = item == 1 ? 1 : item == 8 ? 7 : 0; /* an analogue input device; three kinds of event */
    return item >= 1 && item <= 9 ? OK : BAD_INFO_ITEM;
}

/* ---- what the analogue inputs can do ---- */

static int inputs_of(const Model *model, unsigned mode) { return mode == 1 ? model->differential : mode == 2 ? model->single : 0; }

static const Range *range_of(const Model *model, unsigned mode, unsigned code) {
    const unsigned *list = mode == 1 ? model->differential_ranges : model->single_ranges;
    for (int k = 0; k < 8 && list[k]; k++)
        if (list[k] == code)
            for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++)
                if (ranges[r].code == code) return &ranges[r];
    return NULL;
}

static long long count_ranges(const unsigned *list) {
    long long n = 0;
    while (n < 8 && list[n]) n++;
    return n;
}

unsigned ulAIGetInfo(long long handle, unsigned item, unsigned index, long long *value) {
    Device *device = device_of(handle);
    if (!device) return BAD_HANDLE;
    const Model *model = device->board->model;
    switch (item) {
    case 1: *value = model->bits; return OK;
    case 2: *value = model->single; return OK;
    case 3: *value = inputs_of(model, index); return OK;
    case 4: *value = index == 1 ? model->single : 0; return OK;
    case 5: *value = 1; return OK;
    case 6: *value = model->options; return OK;
    case 7: *value = 1; return OK;
    case 8: *value = count_ranges(model->differential_ranges); return OK;
    case 9: *value = count_ranges(model->single_ranges); return OK;
    case 10: *value = index < 8 ? model->differential_ranges[index] : 0; return OK;
    case 11: *value = index < 8 ? model->single_ranges[index] : 0; return OK;
    case 12: *value = 15; return OK;
    case 13: *value = inputs_of(model, index); return OK;
    case 14: *value = model->queue; return OK;
    case 15: *value = 3; return OK;
    case 16: *value = model->fifo; return OK;
    case 17: *value = 0; return OK;
    default: return BAD_INFO_ITEM;
    }
}

unsigned ulAIGetInfoDbl(long long handle, unsigned item, unsigned index, double *value) {
    (void)index;
    Device *device = device_of(handle);
    if (!device) return BAD_HANDLE;
    const Model *model = device->board->model;
    const double facts[] = {model->clock / 4294967295.0, model->rate, model->throughput, 0, 0};
    if (item < 1000 || item > 1004) return BAD_INFO_ITEM;
    *value = facts[item - 1000];
    return OK;
}

/* ---- the scan ---- */

static void fire(Device *device, int which, unsigned long long data) {
    long long handle = device - devices + 1;
    if (!(device->events & (1u << which)) || !device->callback[which]) return;
    DaqEventCallback callback = device->callback[which];
    void *user = device->user[which];
    pthread_mutex_unlock(&lock); /* the callback may call the library */
    callback(handle, 1u << which, data, user);
    pthread_mutex_lock(&lock);
}

static double sample(const Device *device, unsigned long long number, double crystal) {
    const Board *board = device->board;
    int place = number % device->count, input = device->inputs[place];
    double time = (number / device->count) / device->rate / crystal + place * device->skew_step / crystal;
    /* Whole seconds apart, so that the phase keeps its digits. */
    double second = fmod(board->frequency * (double)device->utc.tv_sec, 1.0);
    double cycles = second + board->frequency * (1e-9 * device->utc.tv_nsec + time);
    double volts = board->offset[input] + board->amplitude[input] * cos(2 * M_PI * cycles + board->angle[input]);
    const Range *range = device->ranges[place];
    double codes = ldexp(1.0, board->model->bits), step = (range->high - range->low) / codes;
    double code = floor((volts - range->low) / step + 0.5);
    code = code < 0 ? 0 : code > codes - 1 ? codes - 1 : code;
    return board->gain * (range->low + code * step) + board->zero;
}

static void *transfer(void *argument) {
    Device *device = argument;
    Board *board = device->board;
    unsigned random = 1;
    double silent_from = -1, next = 0;
    for (;;) {
        /* Until the next stage is due, or the test may have said something. */
        double wait = next - since(device->started);
        struct timespec nap = {0, (long)(1e9 * (wait < 5e-5 ? 5e-5 : wait > 2e-3 ? 2e-3 : wait))};
        nanosleep(&nap, NULL);
        enter();
        if (device->quit) break;
        double elapsed = since(device->started), crystal = 1 + 1e-6 * board->ppm;
        if (board->silent) { /* nothing comes, and nobody says so */
            leave(0);
            continue;
        }
        if (device->dead) { /* the transfers fail; no event, and still "connected" */
            device->error = DEAD;
            break;
        }
        if (board->overrun && silent_from < 0) silent_from = elapsed;
        if (silent_from >= 0) { /* the library asks the board only after 100 ms without a transfer */
            if (elapsed - silent_from > 0.1) {
                board->overrun = 0;
                device->error = OVERRUN;
                device->running = 0;
                fire(device, 1, OVERRUN);
                break;
            }
        } else if (!board->stall && elapsed > 0) {
            unsigned long long due = elapsed * device->rate * crystal * device->count;
            random = random * 1103515245u + 12345u;
            next = elapsed + 2e-3;
            double late = board->jitter * ((random >> 16) & 0x7fff) / 32768.0 * device->rate * device->count;
            while (device->total + device->stage + late <= due) {
                for (long k = 0; k < device->stage; k++, device->total++)
                    device->data[device->total % device->ring] = sample(device, device->total, crystal);
                unsigned long long scans = device->total / device->count;
                if (device->event_every && scans >= device->event_next) {
                    device->event_next = scans + device->event_every;
                    fire(device, 0, scans);
                }
            }
            if (!board->jitter) next = (device->total + device->stage) / (device->rate * crystal * device->count);
        }
        leave(0);
    }
    device->running = 0;
    leave(0);
    return NULL;
}

static unsigned set_up(Device *device, int low, int high, unsigned mode, unsigned range) {
    const Model *model = device->board->model;
    if (device->queue_length) {
        device->count = device->queue_length;
        for (int k = 0; k < device->count; k++) {
            device->inputs[k] = device->queue[k].channel;
            device->ranges[k] = range_of(model, device->queue[k].inputMode, device->queue[k].range);
        }
        return OK;
    }
    int available = inputs_of(model, mode);
    if (!available) return BAD_MODE;
    if (low < 0 || high < low || high >= available) return BAD_CHANNEL;
    const Range *found = range_of(model, mode, range);
    if (!found) return BAD_RANGE;
    device->count = high - low + 1;
    for (int k = 0; k < device->count; k++) device->inputs[k] = low + k, device->ranges[k] = found;
    return OK;
}

/* What the pacer is told, what the library makes of it, and what the board does. */
static void pace(Device *device, double *rate, unsigned options) {
    const Model *model = device->board->model;
    const Board *board = device->board;
    int burst = options & BURSTMODE, each = model->pacer == CONVERSION || (model->pacer == EITHER && !burst);
    int conversions = each ? device->count : 1;
    if (options & EXTCLOCK) {
        device->rate = board->external_rate ? board->external_rate : *rate;
    } else {
        unsigned period = model->clock / (*rate * conversions) - 1;
        device->rate = model->clock / ((1.0 + period) * conversions);
        *rate = model->forgets ? model->clock / (1.0 + (double)period * device->count) : device->rate;
    }
    if (board->true_rate) device->rate = board->true_rate;
    if (board->returned_rate) *rate = board->returned_rate;
    device->skew_step = model->pacer == TOGETHER ? 0 : burst ? model->burst_interval : 1 / (device->rate * device->count);
}

unsigned ulAInScan(long long handle, int low, int high, unsigned mode, unsigned range, int samples_per_channel,
                   double *rate, unsigned options, unsigned flags, double *data) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    const Model *model = device->board->model;
    if (device->running) return leave(ALREADY_ACTIVE);
    unsigned code = set_up(device, low, high, mode, range);
    if (code) return leave(code);
    if (!data) return leave(BAD_BUFFER);
    if (options & ~model->options) return leave(BAD_OPTION);
    if (flags & ~3u) return leave(BAD_FLAG);
    if (!(options & EXTCLOCK) && (*rate > model->rate || *rate * device->count > model->throughput)) return leave(BAD_RATE);
    if (*rate <= 0) return leave(BAD_RATE);
    if (samples_per_channel < 2) return leave(BAD_COUNT);
    if (!device->connected) return leave(NO_CONNECTION);
    if (device->dead || !device->board->plugged) return leave(NOT_CONNECTED);
    if (device->board->scan_code) {
        code = device->board->scan_code;
        device->board->scan_code = 0;
        return leave(code);
    }
    if (device->joinable) stop(device);
    long packet = model->packet / model->sample_bytes;
    double asked = *rate;
    pace(device, rate, options);
    long bytes = asked > 1000 ? (long)(asked * device->count * model->sample_bytes * 0.010) : 0;
    device->stage = (bytes + model->packet - 1) / model->packet * packet;
    if (device->stage < packet) device->stage = packet;
    device->ring = (long)samples_per_channel * device->count;
    device->data = data;
    device->options = options;
    device->total = 0;
    device->error = OK;
    device->quit = 0;
    clock_gettime(CLOCK_MONOTONIC, &device->started);
    clock_gettime(CLOCK_REALTIME, &device->utc);
    if (options & EXTTRIGGER) { /* the edge comes at a whole multiple of `pulse` */
        double pulse = device->board->pulse, now = seconds(device->utc);
        double wait = pulse > 0 ? pulse - fmod(now, pulse) : 1e9;
        double edge = device->utc.tv_nsec * 1e-9 + wait;
        device->utc.tv_sec += (long)(edge + 1e-6);
        device->utc.tv_nsec = pulse > 0 ? fmod(edge + 1e-6, 1.0) * 1e9 : 0;
        if (device->utc.tv_nsec < 2000) device->utc.tv_nsec = 0;
        long whole = (long)wait;
        device->started.tv_sec += whole;
        device->started.tv_nsec += (long)((wait - whole) * 1e9);
        if (device->started.tv_nsec >= 1000000000) device->started.tv_sec++, device->started.tv_nsec -= 1000000000;
    }
    device->event_next = device->event_every;
    device->running = device->joinable = 1;
    pthread_create(&device->thread, NULL, transfer, device);
    return leave(OK);
}

unsigned ulAInScanStatus(long long handle, unsigned *status, TransferStatus *transferred) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    memset(transferred, 0, sizeof *transferred);
    unsigned long long scans = device->count ? device->total / device->count : 0;
    transferred->currentTotalCount = device->total;
    transferred->currentScanCount = scans;
    transferred->currentIndex = scans ? (long long)((scans - 1) * device->count % device->ring) : -1;
    *status = device->running;
    return leave(device->running ? OK : device->error);
}

unsigned ulAInScanStop(long long handle) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    if (!device->connected) return leave(NO_CONNECTION);
    return leave(stop(device));
}

unsigned ulAInScanWait(long long handle, unsigned type, long long parameter, double timeout) {
    (void)handle, (void)type, (void)parameter, (void)timeout;
    return 20; /* timed out: a continuous scan never ends */
}

unsigned ulAInLoadQueue(long long handle, const AiQueueElement *queue, unsigned count) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    const Model *model = device->board->model;
    if (!queue || !count) {
        device->queue_length = 0;
        return leave(OK);
    }
    if (!model->queue) return leave(BAD_DEV_TYPE);
    for (unsigned k = 0; k < count; k++) {
        int available = inputs_of(model, queue[k].inputMode);
        if (!available) return leave(BAD_MODE);
        if (count > (unsigned)available) return leave(BAD_QUEUE_SIZE);
        if (queue[k].channel >= (unsigned)available) return leave(BAD_CHANNEL);
        if (!range_of(model, queue[k].inputMode, queue[k].range)) return leave(BAD_RANGE);
        if (k && queue[k].channel <= queue[k - 1].channel) return leave(BAD_QUEUE_CHANNEL);
        if (k && !(model->queue & 1) && queue[k].channel != queue[k - 1].channel + 1) return leave(BAD_QUEUE_CHANNEL);
        if (k && !(model->queue & 2) && queue[k].range != queue[0].range) return leave(BAD_QUEUE_GAIN);
    }
    memcpy(device->queue, queue, count * sizeof *queue);
    device->queue_length = count;
    return leave(OK);
}

unsigned ulAInSetTrigger(long long handle, unsigned type, int channel, double level, double variance, unsigned again) {
    (void)channel, (void)level, (void)variance, (void)again;
    Device *device = device_of(handle);
    if (!device) return BAD_HANDLE;
    if (type != 1 && type != 2 && type != 4 && type != 8) return BAD_TRIGGER;
    device->trigger = type;
    return OK;
}

/* ---- events ---- */

unsigned ulEnableEvent(long long handle, unsigned types, unsigned long long parameter, DaqEventCallback callback,
                       void *user) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    if (device->running) return leave(ALREADY_ACTIVE);
    if (!types || types & ~7u) return leave(BAD_EVENT);
    if (device->events & types) return leave(EVENT_ENABLED);
    if (types & 1 && !parameter) return leave(BAD_EVENT_SIZE);
    for (int k = 0; k < 3; k++)
        if (types & (1u << k)) device->callback[k] = callback, device->user[k] = user;
    if (types & 1) device->event_every = parameter;
    device->events |= types;
    return leave(OK);
}

unsigned ulDisableEvent(long long handle, unsigned types) {
    enter();
    Device *device = device_of(handle);
    if (!device) return leave(BAD_HANDLE);
    device->events &= ~types;
    if (types & 1) device->event_every = 0;
    return leave(OK);
}

unsigned ulGetErrMsg(unsigned code, char message[512]) {
    static const struct { unsigned code; const char *text; } texts[] = {
        {NO_PERMISSION, "Insufficient permission to access this device"},
        {CLAIMED, "USB interface is already claimed"}, {NOT_FOUND, "Device not found"},
        {NOT_CONNECTED, "Device not connected or connection lost"}, {DEAD, "Device no longer responding"},
        {BAD_RANGE, "Invalid range"}, {BAD_CHANNEL, "Invalid analog input channel specified"},
        {BAD_MODE, "Invalid input mode specified"}, {ALREADY_ACTIVE, "A background process is already in progress"},
        {OVERRUN, "FIFO overrun, data was not transferred from device fast enough"},
        {BAD_OPTION, "Invalid option specified"}, {BAD_RATE, "Invalid sampling rate specified"},
        {NO_CONNECTION, "No connection established"},
        {FIRMWARE, "Incompatible firmware version, firmware update required"},
    };
    snprintf(message, 512, "error %u", code);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        if (texts[k].code == code) snprintf(message, 512, "%s", texts[k].text);
    return OK;
}
