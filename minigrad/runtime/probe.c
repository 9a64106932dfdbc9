/* What `probe.py` times: kernels that read, write and multiply-add as fast as the machine can. It defines VECTOR_BYTES,
   the bytes of a register, and CHUNK, the bytes that one step of the axis of reading and writing stands for. */
typedef float V __attribute__((vector_size(VECTOR_BYTES), may_alias));
enum { STEPS = CHUNK / VECTOR_BYTES };

/* Accumulators of multiply-adds: a latency of 4 to 5 cycles times 2 units, and a few to spare. */
#define EACH(what) what(a) what(b) what(c) what(d) what(e) what(f) what(g) what(h) what(i) what(j) what(k) what(l)
#define DECLARE(name) V name = (V){0} + __COUNTER__;        /* no two are equal, or they would be one */
#define UPDATE(name) name = name * factor + term;
#define ADD(name) sum += name;

void probe_read(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    const V *in = (const V *)buffers[0] + lo * STEPS, *end = (const V *)buffers[0] + hi * STEPS;
    V a = {0}, b = {0}, c = {0}, d = {0};
    for (; in < end; in += 8) {
        a += in[0]; b += in[1]; c += in[2]; d += in[3];
        a += in[4]; b += in[5]; c += in[6]; d += in[7];
    }
    a += b + c + d;
    if (a[0] == 1.25f) ((float *)buffers[1])[0] = a[1];     /* never: the sums must look needed */
}

void probe_write(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    V *out = (V *)buffers[0];
    for (long i = lo * STEPS; i < hi * STEPS; i++) out[i] = (V){0} + 1e-3f;
}

void probe_fma(void *const *buffers, const long *variables, long lo, long hi, char *workspace) {
    const float *in = buffers[0];
    V factor = (V){0} + in[0], term = (V){0} + in[1], sum = {0};
    EACH(DECLARE)
    for (long step = lo; step < hi; step++) { EACH(UPDATE) }
    EACH(ADD)
    if (sum[0] == 1.25f) ((float *)buffers[1])[0] = sum[1];
}
