/* The thread pool. `pool.py` compiles it, calls it, and defines what both must agree on: MEET and SINGLE, an entry's
   flags (the threads meet before it; one thread runs all of it), and MOST_VARIABLES, which one kernel may take.

   Every thread of a job walks the same table of kernels from its first entry to its last. An entry's axis is cut into
   equal parts, one for each thread; where an entry's flag says so the threads meet first. A meeting costs 35 to 60 ns
   on two cores. Who waits spins for some 0.1 ms, then sleeps, and is woken by whom it waits for. It never yields: a thread
   that yields to another process's gets its core back at the scheduler's next tick, milliseconds after what it waited
   for; one that sleeps gets it back when woken.

   No header is included, since some compilers come without any: what is needed of the C library is declared by hand. */
typedef void kernel(void *const *buffers, const long *variables, long lo, long hi, char *workspace);
typedef unsigned long ulong;

int pthread_create(ulong *thread, const void *attributes, void *(*start)(void *), void *argument);
int pthread_join(ulong thread, void **result);
int pthread_sigmask(int how, const ulong *set, ulong *old);
int sched_getcpu(void);
int sched_getaffinity(int thread, ulong size, ulong *mask);
int sched_setaffinity(int thread, ulong size, const ulong *mask);
long syscall(long number, ...);
int clock_gettime(int clock, long *time);

#if defined(__x86_64__)
#define FUTEX 202
#define PAUSE() __asm__ volatile("pause")
#elif defined(__aarch64__)
#define FUTEX 98
#define PAUSE() __asm__ volatile("yield")
#else
#define FUTEX 98
#define PAUSE() ((void)0)
#endif
#define FUTEX_WAIT 128                     /* private to the process */
#define FUTEX_WAKE 129
#define READ(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define WRITE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELEASE)
#define PUBLISH(place, value) __atomic_store_n(&(place), value, __ATOMIC_SEQ_CST)
#define LOOK(place) __atomic_load_n(&(place), __ATOMIC_SEQ_CST)

enum { SPINS = 6000, ALL_TO_ALL = 4, MASK_WORDS = 16 };

struct entry {                             /* one kernel of a table; pool.py packs it as "PPPiii" */
    kernel *function;
    void **buffers;
    const int *indices;                    /* of the graph's variables that it takes; null: all, as they stand */
    int count;
    int extent;                            /* which of the graph's extents is cut among the threads */
    int flags;                             /* MEET, SINGLE */
};

struct job {
    const struct entry *entries;
    long count;
    const long *variables, *extents;
    long *times;                           /* null, or count + 1 times in ns: threads meet before every entry */
    long threads;
};

struct count {                             /* counted up by one thread, waited for by others */
    int number, sleepers;
} __attribute__((aligned(128)));

struct worker {
    struct count tickets;                  /* its caller counts: there is a job */
    struct count arrived;                  /* the meetings that this thread has reached */
    char *workspace;
    struct pool *pool;
    ulong thread;
    long number, cpu;                      /* cpu: where it is pinned, or -1 */
};

struct pool {
    struct job job;
    long home;                             /* the CPU of the calling thread, or -1 */
    int stop;
    int meetings;                          /* so far, all jobs together */
    struct count released;                 /* the meetings that everyone has reached */
    struct worker workers[];               /* workers[0] is the calling thread */
};

long pool_bytes(long threads) { return sizeof(struct pool) + threads * sizeof(struct worker); }

static long now(void) {
    long time[2];
    clock_gettime(1, time);                /* CLOCK_MONOTONIC */
    return time[0] * 1000000000 + time[1];
}

/* Numbers wrap around; those compared are never far apart. */
static int wait_until(struct count *count, int number) {
    for (int turn = 0;; turn++) {
        int seen = READ(count->number);
        if (seen - number >= 0) return seen;
        if (turn < SPINS) PAUSE();
        else {
            __atomic_fetch_add(&count->sleepers, 1, __ATOMIC_SEQ_CST);
            if (LOOK(count->number) == seen) syscall(FUTEX, &count->number, FUTEX_WAIT, seen, 0L, 0L, 0);
            __atomic_fetch_sub(&count->sleepers, 1, __ATOMIC_SEQ_CST);
        }
    }
}

static void reach(struct count *count, int number) {
    PUBLISH(count->number, number);
    if (LOOK(count->sleepers)) syscall(FUTEX, &count->number, FUTEX_WAKE, 1L << 30, 0L, 0L, 0);
}

/* Everyone's writes before the meeting are seen by everyone after it. */
static void meet(struct pool *pool, long self, long threads, int number) {
    reach(&pool->workers[self].arrived, number);
    if (threads <= ALL_TO_ALL) {
        for (long other = 0; other < threads; other++)
            if (other != self) wait_until(&pool->workers[other].arrived, number);
    } else if (self == 0) {
        for (long other = 1; other < threads; other++) wait_until(&pool->workers[other].arrived, number);
        reach(&pool->released, number);
    } else {
        wait_until(&pool->released, number);
    }
}

static void run_entry(const struct entry *entry, const long *variables, long lo, long hi, char *workspace) {
    long values[MOST_VARIABLES];
    for (int i = 0; i < entry->count; i++) values[i] = variables[entry->indices[i]];
    entry->function(entry->buffers, entry->indices ? values : variables, lo, hi, workspace);
}

/* Run one thread's part of the job. Returns the number of the last meeting, which is not held here. */
static int walk(struct pool *pool, long self) {
    struct job job = pool->job;
    int number = pool->meetings;
    char *workspace = pool->workers[self].workspace;
    for (long i = 0; i < job.count; i++) {
        const struct entry *entry = job.entries + i;
        if (job.threads > 1 && ((entry->flags & MEET) || job.times)) meet(pool, self, job.threads, ++number);
        if (job.times && self == 0) job.times[i] = now();
        long lo = 0, hi = job.extents[entry->extent];
        if (job.threads > 1) {
            if (!(entry->flags & SINGLE)) {
                lo = hi * self / job.threads;
                hi = hi * (self + 1) / job.threads;
            } else if (self) continue;
        }
        if (lo < hi) run_entry(entry, job.variables, lo, hi, workspace);
    }
    return number + 1;
}

static void give_ticket(struct worker *worker) { reach(&worker->tickets, worker->tickets.number + 1); }

static void pin(long cpu) {
    ulong mask[MASK_WORDS] = {0};
    if (cpu < 0 || cpu >= 64 * MASK_WORDS) return;
    mask[cpu / 64] = 1UL << cpu % 64;
    sched_setaffinity(0, sizeof mask, mask);
}

/* Move the calling thread to its own CPU if it sits on another one, which may be a worker's, and leave it free to
   move again: the user's thread must not stay pinned. */
static void go_home(struct pool *pool) {
    ulong mask[MASK_WORDS] = {0};
    long home = pool->home;
    if (home < 0 || home >= 64 * MASK_WORDS || sched_getcpu() == home) return;
    if (sched_getaffinity(0, sizeof mask, mask) < 0 || !(mask[home / 64] >> home % 64 & 1)) return;
    pin(home);
    sched_setaffinity(0, sizeof mask, mask);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    struct pool *pool = worker->pool;
    pin(worker->cpu);
    for (int seen = 0;;) {
        seen = wait_until(&worker->tickets, seen + 1);
        if (READ(pool->stop)) return 0;
        reach(&worker->arrived, walk(pool, worker->number));
    }
}

/* Start worker `number`, pinned to `cpu` unless that is -1. Returns 0, or an error number. */
int pool_start(struct pool *pool, long number, long cpu) {
    struct worker *worker = pool->workers + number;
    ulong all[MASK_WORDS], old[MASK_WORDS];
    for (int i = 0; i < MASK_WORDS; i++) all[i] = ~0UL;
    worker->pool = pool;
    worker->number = number;
    worker->cpu = cpu;
    pthread_sigmask(2, all, old);          /* signals are for the user's threads */
    int error = pthread_create(&worker->thread, 0, worker_main, worker);
    pthread_sigmask(2, old, 0);
    return error;
}

/* End workers 1..threads-1. No job may be running. */
void pool_stop(struct pool *pool, long threads) {
    WRITE(pool->stop, 1);
    for (long i = 1; i < threads; i++) give_ticket(pool->workers + i);
    for (long i = 1; i < threads; i++) pthread_join(pool->workers[i].thread, 0);
}

void pool_set_home(struct pool *pool, long cpu) { pool->home = cpu; }

void pool_set_workspace(struct pool *pool, long thread, char *place) { pool->workers[thread].workspace = place; }

/* Run a table on `threads` threads, of which the caller is one. Returns ns. */
long pool_run(struct pool *pool, const struct entry *entries, long count, const long *variables, const long *extents,
              long *times, long threads) {
    long start = now();
    struct job job = {entries, count, variables, extents, times, threads};
    pool->job = job;
    if (threads > 1) {
        go_home(pool);
        for (long i = 1; i < threads; i++) give_ticket(pool->workers + i);
    }
    int last = walk(pool, 0);
    if (threads > 1) {
        for (long i = 1; i < threads; i++) wait_until(&pool->workers[i].arrived, last);
        pool->meetings = last;
    }
    long end = now();
    if (times) times[count] = end;
    return end - start;
}

/* Run one kernel. Returns ns. */
long pool_launch(struct pool *pool, kernel *function, void **buffers, const long *variables, long extent,
                 long threads) {
    if (threads > 1) {
        struct entry entry = {function, buffers, 0, 0, 0, 0};
        return pool_run(pool, &entry, 1, variables, &extent, 0, threads);
    }
    long start = now();
    if (extent > 0) function(buffers, variables, 0, extent, pool->workers[0].workspace);
    return now() - start;
}
