// The machine that CUDA kernels run on: one thread of this CPU, blocks one after the other, every CUDA thread a fiber.
//
// A kernel's code calls __tsan_readN or __tsan_writeN before each access (see kernel.h). There the fiber parks. When all
// fibers of a warp are parked, those that stand at the lowest address in the code make their access together: lanes that
// parted in a branch meet again behind it. The access is checked and counted as one of the warp, then they go on. A warp
// runs until its lanes wait at a barrier or are done, then the next warp does.
//
// Checked for each byte (a granule of a buffer's elements): it belongs to the buffer that the pointer was made from, it was
// written before it is read, and no other thread wrote or read it without a barrier in between. Buffers are handed in at
// addresses 2^36 bytes apart, so that no int index leads from one to another.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

extern "C" void *mmap(void *, u64, int, int, int, long);
extern "C" int munmap(void *, u64);

struct Index { u32 x, y, z; };

// ---- what device.py hands in and gets back; the layouts are those of its ctypes structures

enum Fault : u32 { NONE, OUT_OF_BOUNDS, UNWRITTEN, RACE, BARRIER_UNREACHED, BARRIERS_DIFFER, MISALIGNED, LANES_PART, INDEX };
enum Kind : u32 { READ, WRITE, BARRIER, SHUFFLE, MATRIX, READY, DONE };

struct Slot {
  u64 start, bytes;
  u64 granule;                  // bytes of an element
  u8 *written;                  // a byte for each of the buffer's: whether it holds a value
};

struct Report {
  u32 fault, kind;              // of the access
  Index block, thread, other;   // RACE: the other thread; its block where that is not this one
  u32 other_block;
  int slot;                     // of the buffer; -1: shared memory, -2: neither
  long offset;                  // bytes. INDEX: the index
  u32 size, line;               // INDEX: the line of the source
};

struct Counts {
  u64 global_requests, sectors, least_sectors;          // accesses of warps; 32-byte pieces that they touch, at least
  u64 shared_requests, passes, least_passes;            // accesses of warps; passes that bank conflicts make of them
  u64 barriers, shuffles, matrices;
};

struct Launch {
  void (*kernel)(void **);
  void **arguments;
  Index grid, block;
  u64 slots;
  Slot *slot;
  u64 shared, shared_bytes;
  Report report;
  Counts counts;
};

// ---- memory

const u64 WINDOWS = 1ul << 44, SPACING = 1ul << 36, MIDDLE = 1ul << 35;
const u32 MOST_SLOTS = 512, MOST_THREADS = 1024, WARP = 32;
const u64 STACK = 256 << 10;

// Who touched a granule last. Times are numbers of intervals between barriers, counted over all launches.
struct Cell {
  u32 written, read;            // when
  u32 read_elsewhere;           // when another block read it
  u16 writer, reader;           // threads of their blocks; MANY readers
};
const u16 MANY = 0xffff;

template <class T> struct Region {      // memory that grows; its content is lost then
  T *start; u64 bytes;
  T *at_least(u64 wanted, u64 place = 0) {
    if (wanted <= bytes) return start;
    if (bytes) munmap(start, bytes);
    bytes = (wanted + 0xffff) & ~0xfffful;
    start = (T *)mmap((void *)place, bytes, 3, place ? 0x104022 : 0x4022, -1, 0);  // read, write; private, anonymous, fixed
    if (start == (T *)-1) bytes = 0, start = 0;
    return start;
  }
  void forget() { if (bytes) munmap(start, bytes); bytes = 0; }
};
static Region<u8> windows[MOST_SLOTS];
static Region<Cell> cells[MOST_SLOTS], shared_cells;
static Region<u8> stacks;

// The address at which a launch sees the buffer of a slot; 0: there is no room.
extern "C" u64 emulated_window(u32 slot, u64 bytes) {
  return slot < MOST_SLOTS ? (u64)windows[slot].at_least(bytes + 1, WINDOWS + slot * SPACING + MIDDLE) : 0;
}

// ---- fibers

struct Lane {
  void *stack;                  // where it stands
  Kind kind;
  u64 site, address;            // of the access: in the code, in memory
  u32 size;
  // of a shuffle
  u32 mask; int how, operand, width;
  u64 value;
  // of a matrix instruction
  float *sums; const float *left, *right; u32 kept, deep;       // bits of an operand that it looks at; its depth
};
static Lane lanes[MOST_THREADS], *me;
static void *scheduler;
static Launch *launch;
static Index block_index;

#ifndef __x86_64__
#error "the emulator's fibers are written for x86-64"
#endif
extern "C" void emulated_switch(void **from, void *to);
asm(R"(.text
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

static void park(Kind kind, u64 site) {
  me->kind = kind, me->site = site;
  emulated_switch(&me->stack, scheduler);
}

static void fiber() {
  launch->kernel(launch->arguments);
  park(DONE, 0);
}

static Index thread_index(u32 t) {
  Index size = launch->block;
  return {t % size.x, t / size.x % size.y, t / (size.x * size.y)};
}

extern "C" Index emulated_thread() { return thread_index(me - lanes); }
extern "C" Index emulated_block() { return block_index; }
extern "C" void __syncthreads() { park(BARRIER, (u64)__builtin_return_address(0)); }

extern "C" u64 emulated_shuffle(u32 mask, u64 value, int how, int operand, int width) {
  me->mask = mask, me->value = value, me->how = how, me->operand = operand, me->width = width;
  park(SHUFFLE, (u64)__builtin_return_address(0));
  return me->value;
}

// sums += left * right: the numbers that this thread holds.
static void matrix(float *sums, const float *left, const float *right, u32 kept, u32 deep, void *site) {
  me->sums = sums, me->left = left, me->right = right, me->kept = kept, me->deep = deep;
  park(MATRIX, (u64)site);
}
#define INSTRUCTION(name, kept, deep) extern "C" void emulated_matrix_##name(float *d, const float *a, const float *b) { \
  matrix(d, a, b, kept, deep, __builtin_return_address(0)); }
INSTRUCTION(tf32, 0xffffe000u, 8) INSTRUCTION(bfloat16, 0xffff0000u, 16) INSTRUCTION(float16, 0xffffe000u, 16)

static void access(Kind kind, void *address, u32 size, void *site) {
  if ((u64)address - (u64)stacks.start < stacks.bytes) return;          // a thread's own
  me->address = (u64)address, me->size = size;
  park(kind, (u64)site);
}

#define ACCESS(n) \
  extern "C" void __tsan_read##n(void *a) { access(READ, a, n, __builtin_return_address(0)); } \
  extern "C" void __tsan_write##n(void *a) { access(WRITE, a, n, __builtin_return_address(0)); } \
  extern "C" void __tsan_unaligned_read##n(void *a) { access(READ, a, n, __builtin_return_address(0)); } \
  extern "C" void __tsan_unaligned_write##n(void *a) { access(WRITE, a, n, __builtin_return_address(0)); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
extern "C" void __tsan_init() {}
// Structures of more than 16 bytes, which a GPU moves in parts of 16.
extern "C" void *__tsan_memcpy(void *to, const void *from, u64 size) {
  for (u64 i = 0; i < size; i += 16) {
    u32 n = size - i < 16 ? size - i : 16;
    access(READ, (char *)from + i, n, __builtin_return_address(0));
    access(WRITE, (char *)to + i, n, (char *)__builtin_return_address(0) + 1);
    __builtin_memcpy((char *)to + i, (char *)from + i, n);
  }
  return to;
}

extern "C" void *__tsan_memset(void *to, int value, u64 size) {
  for (u64 i = 0; i < size; i += 16) access(WRITE, (char *)to + i, size - i < 16 ? size - i : 16, __builtin_return_address(0));
  return __builtin_memset(to, value, size);
}

// ---- faults

static Report *found(Fault fault, u32 thread, Kind kind = BARRIER) {
  Report *r = &launch->report;
  r->fault = fault, r->kind = kind, r->block = block_index, r->thread = thread_index(thread);
  return r;
}

// -fsanitize=array-bounds: where the index of an array of known size is wrong.
struct Place { const char *file; u32 line, column; };
extern "C" void __ubsan_handle_out_of_bounds(Place *place, u64 index) {
  Report *r = found(INDEX, me - lanes);
  r->offset = (long)(int)index, r->line = place->line;
  park(DONE, 0);
}

// ---- checks

static u32 now, block_began, launch_began;      // times

struct Memory { int slot; u64 offset; Cell *cells; u64 granule; };      // where an address lies

static bool find(u64 address, u32 size, Memory &m) {
  if (address - launch->shared < launch->shared_bytes) {
    m = {-1, address - launch->shared, shared_cells.start, 1};
    return m.offset + size <= launch->shared_bytes;
  }
  u64 slot = (address - WINDOWS) / SPACING;
  if (slot >= launch->slots) {
    m = {-2, address, 0, 1};
    return false;
  }
  Slot &s = launch->slot[slot];
  m = {(int)slot, address - s.start, cells[slot].start, s.granule};
  return m.offset < s.bytes && m.offset + size <= s.bytes;
}

// Whether another thread touched the cell without a barrier in between: `other` says which, `elsewhere` if in another block.
static bool races(Cell &c, Kind kind, u16 thread, bool global, u16 &other, u32 &elsewhere) {
  elsewhere = 0;
  other = c.writer;
  if (c.written == now && c.writer != thread) return true;
  if (kind == WRITE && c.read == now && c.reader != thread) return other = c.reader, true;
  if (!global) return false;            // each block has its own shared memory
  elsewhere = (c.written >= launch_began && c.written < block_began) ||
              (kind == WRITE && ((c.read >= launch_began && c.read < block_began) || c.read_elsewhere >= launch_began));
  return elsewhere;
}

static void note(Cell &c, Kind kind, u16 thread) {
  if (kind == WRITE) {
    c.written = now, c.writer = thread;
    return;
  }
  if (c.read >= launch_began && c.read < block_began) c.read_elsewhere = c.read;
  c.reader = c.read == now && c.reader != thread ? MANY : thread;
  c.read = now;
}

static Fault check(u32 thread) {
  Lane &l = lanes[thread];
  Memory m;
  Fault fault = NONE;
  u16 other = 0;
  u32 elsewhere = 0;
  if (!find(l.address, l.size, m)) fault = OUT_OF_BOUNDS;
  else if (l.address % l.size) fault = MISALIGNED;
  else if (l.kind == READ && m.slot >= 0 && launch->slot[m.slot].written)
    for (u32 i = 0; i < l.size; i++) if (!launch->slot[m.slot].written[m.offset + i]) fault = UNWRITTEN;
  for (u64 i = m.offset / m.granule; !fault && i * m.granule < m.offset + l.size; i++) {
    if (l.kind == READ && m.slot == -1 && m.cells[i].written < block_began) fault = UNWRITTEN;
    else if (races(m.cells[i], l.kind, thread, m.slot >= 0, other, elsewhere)) fault = RACE;
    else note(m.cells[i], l.kind, thread);
  }
  if (fault) {
    Report *r = found(fault, thread, l.kind);
    r->slot = m.slot, r->offset = m.offset, r->size = l.size;
    r->other_block = elsewhere;
    r->other = thread_index(other == MANY ? 0 : other);
  } else if (l.kind == WRITE && m.slot >= 0 && launch->slot[m.slot].written) {
    for (u32 i = 0; i < l.size; i++) launch->slot[m.slot].written[m.offset + i] = 1;
  }
  return fault;
}

// ---- counts

struct Set {                    // a few numbers
  u64 item[4 * WARP]; u32 count = 0;
  bool add(u64 x) {
    for (u32 i = count; i-- > 0;) if (item[i] == x) return false;
    item[count++] = x;
    return true;
  }
};

static void count_global(u32 *group, u32 n) {
  Set sectors, addresses;
  for (u32 i = 0; i < n; i++) {
    u64 a = lanes[group[i]].address;
    sectors.add(a / 32), sectors.add((a + lanes[group[i]].size - 1) / 32), addresses.add(a);
  }
  launch->counts.global_requests++, launch->counts.sectors += sectors.count;
  launch->counts.least_sectors += (addresses.count * lanes[group[0]].size + 31) / 32;
}

// 32 banks of 4 bytes; accesses of 8 and 16 bytes are made by a half and by a quarter of the warp at a time.
static void count_shared(u32 *group, u32 n) {
  u32 size = lanes[group[0]].size, together = size <= 4 ? WARP : WARP * 4 / size;
  launch->counts.shared_requests++;
  for (u32 i = 0; i < n;) {
    u32 part = group[i] % WARP / together, bank[32] = {}, most = 1;
    Set words;
    for (; i < n && group[i] % WARP / together == part; i++)
      for (u32 b = 0; b < size; b += 4) {
        u64 word = (lanes[group[i]].address + b) / 4;
        if (words.add(word) && ++bank[word % 32] > most) most = bank[word % 32];
      }
    launch->counts.passes += most, launch->counts.least_passes += (words.count + 31) / 32;
  }
}

// ---- copies that a thread starts and later waits for

struct Copy { u64 to, from; u32 size; bool valid; };
const u32 MOST_COPIES = 512;
static Copy copies[MOST_THREADS][MOST_COPIES];
static u32 started[MOST_THREADS];

// What is under way counts as never written: to read it is a fault. It may overwrite what no thread reads in this interval.
extern "C" void emulated_copy(void *to, const void *from, int size, int valid) {
  char *site = (char *)__builtin_return_address(0);
  if (valid) access(READ, (void *)from, size, site);
  access(WRITE, to, size, site + 1);
  u32 t = me - lanes;
  u64 offset = (u64)to - launch->shared;
  if (offset >= launch->shared_bytes || started[t] == MOST_COPIES) {
    found(OUT_OF_BOUNDS, t, WRITE)->slot = -2;
    park(DONE, 0);
  }
  for (int i = 0; i < size; i++) shared_cells.start[offset + i].written = 0;
  copies[t][started[t]++] = {(u64)to, (u64)from, (u32)size, (bool)valid};
}

extern "C" void emulated_wait() {
  u32 t = me - lanes;
  for (u32 i = 0; i < started[t]; i++) {
    Copy &c = copies[t][i];
    if (c.valid) __builtin_memcpy((void *)c.to, (void *)c.from, c.size);
    else __builtin_memset((void *)c.to, 0, c.size);
    for (u32 b = 0; b < c.size; b++) {
      Cell &cell = shared_cells.start[c.to - launch->shared + b];
      cell.written = now, cell.writer = t;
    }
  }
  started[t] = 0;
}

// ---- warps and blocks

static void shuffle(u32 first, u32 *group, u32 n) {
  u64 before[WARP];
  u32 present = 0;
  for (u32 i = 0; i < n; i++) before[group[i] - first] = lanes[group[i]].value, present |= 1u << (group[i] - first);
  for (u32 i = 0; i < n; i++) {
    Lane &l = lanes[group[i]];
    int lane = group[i] - first, base = lane & ~(l.width - 1), source;
    if (l.how == 0) source = base + l.operand % l.width;
    else if (l.how == 1) source = lane - l.operand < base ? lane : lane - l.operand;
    else if (l.how == 2) source = lane + l.operand >= base + l.width ? lane : lane + l.operand;
    else source = lane ^ l.operand;
    if (l.mask != present || source >= (int)WARP || !(present >> source & 1)) {
      found(LANES_PART, group[i], SHUFFLE);
      return;
    }
    l.value = before[source];
  }
  launch->counts.shuffles++;
}

static float keep(float x, u32 bits) { return __builtin_bit_cast(float, __builtin_bit_cast(u32, x) & bits); }

// m16n8k8 (tf32) and m16n8k16 (16 bits), with the fragments of the PTX ISA.
static void multiply(u32 first, u32 *group, u32 n) {
  u32 kept = lanes[first].kept, deep = lanes[first].deep;
  float left[16][16], right[16][8];
  for (u32 t = 0; t < WARP; t++) {
    if (n != WARP || lanes[first + t].kept != kept || lanes[first + t].deep != deep) {
      found(LANES_PART, group[0], MATRIX);
      return;
    }
    Lane &l = lanes[first + t];
    u32 g = t / 4, m = t % 4;
    for (u32 i = 0; i < deep / 2; i++)
      if (deep == 8) left[g + i % 2 * 8][m + i / 2 * 4] = keep(l.left[i], kept);
      else left[g + i / 2 % 2 * 8][m * 2 + i % 2 + i / 4 * 8] = keep(l.left[i], kept);
    for (u32 i = 0; i < deep / 4; i++)
      if (deep == 8) right[m + i * 4][g] = keep(l.right[i], kept);
      else right[m * 2 + i % 2 + i / 2 * 8][g] = keep(l.right[i], kept);
  }
  for (u32 t = 0; t < WARP; t++)
    for (u32 i = 0; i < 4; i++) {
      double sum = lanes[first + t].sums[i];
      for (u32 k = 0; k < deep; k++) sum += (double)left[t / 4 + i / 2 * 8][k] * right[k][t % 4 * 2 + i % 2];
      lanes[first + t].sums[i] = sum;
    }
  launch->counts.matrices++;
}

// Runs a warp until its lanes wait at a barrier or are done. False: a fault.
static bool run_warp(u32 first, u32 last) {
  while (true) {
    u64 lowest[5] = {~0ul, ~0ul, ~0ul, ~0ul, ~0ul};
    for (u32 t = first; t < last; t++) {
      me = &lanes[t];
      if (me->kind == READY) emulated_switch(&scheduler, me->stack);
      if (launch->report.fault) return false;
      if (me->kind <= MATRIX && me->site < lowest[me->kind]) lowest[me->kind] = me->site;
    }
    u64 site = lowest[READ] < lowest[WRITE] ? lowest[READ] : lowest[WRITE];
    if (site == ~0ul)           // only when no lane can come to it any more
      site = lowest[SHUFFLE] < lowest[MATRIX] ? lowest[SHUFFLE] : lowest[MATRIX];
    if (site == ~0ul) return true;
    u32 group[WARP], n = 0;
    for (u32 t = first; t < last; t++) if (lanes[t].site == site) group[n++] = t;
    Lane &one = lanes[group[0]];
    if (one.kind == SHUFFLE) shuffle(first, group, n);
    else if (one.kind == MATRIX) multiply(first, group, n);
    else {
      for (u32 i = 0; i < n; i++) if (check(group[i])) return false;
      (one.address - launch->shared < launch->shared_bytes ? count_shared : count_global)(group, n);
    }
    if (launch->report.fault) return false;
    for (u32 i = 0; i < n; i++) lanes[group[i]].kind = READY, lanes[group[i]].site = 0;
  }
}

static bool run_block(u32 threads) {
  block_began = ++now;
  for (u32 t = 0; t < threads; t++) {
    u64 *top = (u64 *)(stacks.start + (t + 1) * STACK);
    top[-1] = 0;                                        // what fiber() would return to
    top[-2] = (u64)fiber;
    lanes[t].stack = top - 8;                           // six registers below
    lanes[t].kind = READY;
    started[t] = 0;
  }
  while (true) {
    for (u32 first = 0; first < threads; first += WARP)
      if (!run_warp(first, first + WARP < threads ? first + WARP : threads)) return false;
    u32 done = 0;
    for (u32 t = 0; t < threads; t++) done += lanes[t].kind == DONE;
    if (done == threads) return true;
    for (u32 t = 0; t < threads; t++) {
      if (done && lanes[t].kind == BARRIER) return found(BARRIER_UNREACHED, t), false;
      if (lanes[t].site != lanes[0].site) return found(BARRIERS_DIFFER, t), false;
    }
    for (u32 t = 0; t < threads; t++) lanes[t].kind = READY;
    now++, launch->counts.barriers++;
  }
}

// 0: it ran; 1: the report says what went wrong; 2: there is no memory for it.
extern "C" int emulated_launch(Launch *l) {
  launch = l;
  u32 threads = l->block.x * l->block.y * l->block.z;
  if (threads > MOST_THREADS || !stacks.at_least(MOST_THREADS * STACK)) return 2;
  if (!shared_cells.at_least(l->shared_bytes * sizeof(Cell) + 1)) return 2;
  for (u64 i = 0; i < l->slots; i++)
    if (!cells[i].at_least(l->slot[i].bytes / l->slot[i].granule * sizeof(Cell) + 1)) return 2;
  if (now > 3000000000u) {                              // before the clock turns over
    for (u32 i = 0; i < MOST_SLOTS; i++) cells[i].forget();
    shared_cells.forget(), now = 0;
    return emulated_launch(l);
  }
  launch_began = now + 1;
  for (block_index.z = 0; block_index.z < l->grid.z; block_index.z++)
    for (block_index.y = 0; block_index.y < l->grid.y; block_index.y++)
      for (block_index.x = 0; block_index.x < l->grid.x; block_index.x++)
        if (!run_block(threads)) return 1;
  return 0;
}
