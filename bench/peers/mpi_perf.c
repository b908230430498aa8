/* Times MPI's collectives as `lockstep perf` times Lockstep's: same sizes, same buffers, same loop.
 *
 *   mpi_perf COLLECTIVE MIN_BYTES MAX_BYTES FACTOR ITERATIONS WARM_UPS dirty|clean [ROOT]
 *
 * Rank 0 prints which library this is, and whether ranks may copy each other's memory in one step, as large messages of
 * MPI within a host do where they can (CMA, XPMEM). Then it prints one line per size: bytes, the microseconds out of
 * place and in place, how many operations were repeated, since a rank had begun them late, and how they began out of
 * place and in place: common or barrier.
 * A size is nccl-tests': of all-gather, reduce-scatter, all-to-all, gather and scatter it is that of the
 * larger buffer, of the others that of a rank's buffer. Bytes are those that were used: whole elements, and as many of
 * each rank; sizes that hold none are left out.
 *
 * dirty: every rank writes its whole input, all begin one timed operation at the same moment; the
 *        slowest rank counts, the median over the iterations is printed; where they are even in number, the mean of
 *        the two in the middle.
 * clean: loops over unchanged buffers, each with its mean over the iterations and the ranks; their median is printed. As
 *        `lockstep perf --clean` does: nine loops, or fewer where these would take more than 0.1 s. Where the median is
 *        more than twice the warm-up's fastest, all of them run again after a rest, up to five times.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER, BROADCAST, REDUCE, ALL_TO_ALL, GATHER, SCATTER, SEND_RECV, KINDS };

static const char *const names[KINDS] = {"all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce",
                                         "alltoall",   "gather",     "scatter",        "sendrecv"};

/* From a rank's proposal of a start to that start: longer than ranks in step take to agree. Where half of them come late
 * it is doubled. If not even the most is enough, ranks do not run side by side: where half of MANY are late, or of fewer
 * ROUNDS times in a row, all operations of a size are timed again from a barrier. */
#define AHEAD_SECONDS 5e-6
#define MOST_AHEAD_SECONDS 1e-3
#define MANY 8
#define ROUNDS 3

/* Who begins this much later than agreed was away. */
#define LATE_SECONDS 2e-7

/* Of clean buffers, as `PerfRank` and `WarmUp` of lockstep perf have them. */
#define LOOPS 9
#define LOOPS_SECONDS 0.1
#define SLOW 2
#define RESTS 5
#define REST_MICROS 20000
#define ROW 20
#define LONG_ROW 2
#define SHORT_BYTES (64L << 10)
#define ROUND_SECONDS 5e-3
#define FIRST_ROWS 5
#define MOST_ROWS 500

static int rank, ranks, root, has_cores, is_common;
static double ahead = AHEAD_SECONDS;
static enum kind kind;

/* Whether the size counts the parts of all ranks. */
static int in_parts(void) {
  return kind == ALL_GATHER || kind == REDUCE_SCATTER || kind == ALL_TO_ALL || kind == GATHER || kind == SCATTER;
}

static void check(int status) {
  if (status != MPI_SUCCESS) {
    fprintf(stderr, "mpi_perf: an MPI function failed: status=%d\n", status);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
}

static void operate(float *in, float *out, int count, int part) {
  const int in_place = in == out;
  const MPI_Comm world = MPI_COMM_WORLD;
  switch (kind) {
    case ALL_REDUCE:
      check(MPI_Allreduce(in_place ? MPI_IN_PLACE : in, out, count, MPI_FLOAT, MPI_SUM, world));
      return;
    case ALL_GATHER:
      check(MPI_Allgather(in_place ? MPI_IN_PLACE : in, part, MPI_FLOAT, out, part, MPI_FLOAT, world));
      return;
    case REDUCE_SCATTER:
      check(MPI_Reduce_scatter_block(in_place ? MPI_IN_PLACE : in, out, part, MPI_FLOAT, MPI_SUM, world));
      return;
    case BROADCAST:
      check(MPI_Bcast(in, count, MPI_FLOAT, root, world));
      return;
    case REDUCE:
      check(MPI_Reduce(in_place && rank == root ? MPI_IN_PLACE : in, out, count, MPI_FLOAT, MPI_SUM, root, world));
      return;
    case ALL_TO_ALL:
      check(MPI_Alltoall(in_place ? MPI_IN_PLACE : in, part, MPI_FLOAT, out, part, MPI_FLOAT, world));
      return;
    case GATHER:
      check(MPI_Gather(in_place && rank == root ? MPI_IN_PLACE : in, part, MPI_FLOAT, out, part, MPI_FLOAT, root,
                       world));
      return;
    case SCATTER:
      check(MPI_Scatter(in, part, MPI_FLOAT, in_place && rank == root ? MPI_IN_PLACE : out, part, MPI_FLOAT, root,
                        world));
      return;
    case SEND_RECV:
      if (in_place) {
        check(MPI_Sendrecv_replace(in, count, MPI_FLOAT, (rank + 1) % ranks, 0, (rank + ranks - 1) % ranks, 0, world,
                                   MPI_STATUS_IGNORE));
      } else {
        check(MPI_Sendrecv(in, count, MPI_FLOAT, (rank + 1) % ranks, 0, out, count, MPI_FLOAT,
                           (rank + ranks - 1) % ranks, 0, world, MPI_STATUS_IGNORE));
      }
      return;
    case KINDS:
      break;
  }
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double median(double *numbers, int count) {
  qsort(numbers, (size_t)count, sizeof *numbers, ascending);
  return (numbers[(count - 1) / 2] + numbers[count / 2]) / 2;
}

/* Ranks leave a barrier one after another, as far apart as a short collective takes. So where each has a core they
 * begin at a time that all agree on, the latest of what each proposes. Returns whether this rank is in time. */
static int start_together(void) {
  if (!is_common) {
    check(MPI_Barrier(MPI_COMM_WORLD));
    return 1;
  }
  double start = now() + ahead, time;
  check(MPI_Allreduce(MPI_IN_PLACE, &start, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD));
  do time = now();
  while (time < start);
  return time - start < LATE_SECONDS;
}

/* Times the operations that have no time yet; what a rank began late has none afterwards either. Returns how many. */
static int time_missing(float *in, float *out, int count, int part, float *first, int written, int iterations,
                        double *times) {
  int missing = 0;
  for (int i = 0; i < iterations; i++) {
    if (times[i] < INFINITY) continue;
    const float value = (float)(i & 15);
    for (int k = 0; k < written; k++) first[k] = value;
    const int in_time = start_together();
    const double start = now();
    operate(in, out, count, part);
    times[i] = in_time ? now() - start : INFINITY;
  }
  check(MPI_Allreduce(MPI_IN_PLACE, times, iterations, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD));
  for (int i = 0; i < iterations; i++) missing += times[i] == INFINITY;
  return missing;
}

static double dirty(float *in, float *out, int count, int part, float *first, int written, int iterations,
                    double *times, int *repeated) {
  for (int i = 0; i < iterations; i++) times[i] = INFINITY;
  int missing, tried = iterations, rounds = 0;
  ahead = AHEAD_SECONDS;
  is_common = has_cores;
  while ((missing = time_missing(in, out, count, part, first, written, iterations, times)) > 0) {
    if (2 * missing < tried) {
      rounds = 0;
    } else if (2 * ahead <= MOST_AHEAD_SECONDS) {
      ahead *= 2;
      rounds = 0;
    } else if (tried >= MANY || ++rounds >= ROUNDS) {
      is_common = 0;
      for (int i = 0; i < iterations; i++) times[i] = INFINITY;
      missing = iterations;
    }
    *repeated += missing;
    tried = missing;
  }
  return median(times, iterations) * 1e6;
}

/* The time of one operation in a loop that all ranks begin at a barrier, averaged over them. */
static double loop(float *in, float *out, int count, int part, int iterations) {
  check(MPI_Barrier(MPI_COMM_WORLD));
  const double start = now();
  for (int i = 0; i < iterations; i++) operate(in, out, count, part);
  double mean = (now() - start) / iterations;
  check(MPI_Allreduce(MPI_IN_PLACE, &mean, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD));
  return mean / ranks;
}

static double loops(float *in, float *out, int count, int part, int iterations) {
  double means[LOOPS] = {loop(in, out, count, part, iterations)};
  const double fit = LOOPS_SECONDS / (means[0] * iterations);
  const int most = fit < 1 ? 1 : fit > LOOPS ? LOOPS : (int)fit;
  for (int i = 1; i < most; i++) means[i] = loop(in, out, count, part, iterations);
  return median(means, most);
}

/* Warms up by rows of operations, a barrier behind each. Returns the time of one in the fastest round, by its slowest
 * rank. */
static double warm_up(float *in, float *out, int count, int part, int warm_ups, int row) {
  double fastest = INFINITY;
  int rows = FIRST_ROWS;
  for (int done = 0; done < warm_ups;) {
    int run = 0;
    const double start = now();
    for (; run < rows && done < warm_ups; run++, done += row) {
      for (int i = 0; i < row; i++) operate(in, out, count, part);
      check(MPI_Barrier(MPI_COMM_WORLD));
    }
    double seconds = now() - start;
    check(MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD));
    if (seconds / run / row < fastest) fastest = seconds / run / row;
    const double fit = ROUND_SECONDS * run / seconds;
    if (rows == FIRST_ROWS) rows = fit < 1 ? 1 : fit > MOST_ROWS ? MOST_ROWS : (int)fit;
  }
  return fastest;
}

static double clean(float *in, float *out, int count, int part, int warm_ups, int iterations) {
  const int most = 4L * count <= SHORT_BYTES ? ROW : LONG_ROW;
  const double fastest = warm_up(in, out, count, part, warm_ups, iterations < most ? iterations : most);
  double time = loops(in, out, count, part, iterations);
  for (int i = 0; i < RESTS && time > SLOW * fastest; i++) {
    usleep(REST_MICROS);
    time = loops(in, out, count, part, iterations);
  }
  return time * 1e6;
}

/* Reads the next rank's memory in place. Returns 0 if that works between all of them, else the error of one of them. */
static int refusal(void) {
  const long number = 4711 + rank;
  const long mine[2] = {getpid(), (long)&number};
  long *const all = malloc(sizeof mine * (size_t)ranks);
  check(MPI_Allgather(mine, 2, MPI_LONG, all, 2, MPI_LONG, MPI_COMM_WORLD));
  const int next = (rank + 1) % ranks;
  long got = 0;
  const struct iovec here = {&got, sizeof got}, there = {(void *)all[2 * next + 1], sizeof got};
  const ssize_t bytes = process_vm_readv((pid_t)all[2 * next], &here, 1, &there, 1, 0);
  int error = bytes < 0 ? errno : bytes != sizeof got || got != 4711 + next ? EIO : 0;
  check(MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD));
  free(all);
  return error;
}

static void introduce(void) {
  char library[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  const int error = refusal();
  check(MPI_Get_library_version(library, &length));
  library[strcspn(library, ",\n")] = 0;
  for (char *blank = library; (blank = strchr(blank, '\t')) != NULL;) *blank = ' ';
  if (rank != 0) return;
  printf("# %s, single copies between its ranks: process_vm_readv %s%s, /dev/xpmem %s\n", library,
         error == 0 ? "works" : "fails: ", error == 0 ? "" : strerror(error),
         access("/dev/xpmem", R_OK | W_OK) == 0 ? "is there" : "is absent");
}

static float *buffer(size_t bytes) {
  void *memory = NULL;
  if (posix_memalign(&memory, 4096, bytes + 4096) != 0) {
    fprintf(stderr, "mpi_perf: out of memory: bytes=%zu\n", bytes);
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  memset(memory, 0, bytes + 4096);
  return memory;
}

int main(int argc, char **argv) {
  check(MPI_Init(&argc, &argv));
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  check(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  const char *const cores = getenv("MPI_PERF_CORES"); /* a bound rank sees its own alone */
  has_cores = ranks <= (cores == NULL ? sysconf(_SC_NPROCESSORS_ONLN) : atol(cores));
  if (argc < 8) {
    if (rank == 0)
      fprintf(stderr, "usage: mpi_perf COLLECTIVE MIN MAX FACTOR ITERATIONS WARM_UPS dirty|clean [ROOT]\n");
    MPI_Finalize();
    return 2;
  }
  for (kind = ALL_REDUCE; kind < KINDS && strcmp(names[kind], argv[1]) != 0; kind++) {
  }
  if (kind == KINDS) {
    if (rank == 0) {
      fprintf(stderr, "mpi_perf: no such collective: %s, one of", argv[1]);
      for (int known = 0; known < KINDS; known++) fprintf(stderr, " %s", names[known]);
      fprintf(stderr, "\n");
    }
    MPI_Finalize();
    return 2;
  }
  introduce();
  const long least = atol(argv[2]), most = atol(argv[3]), factor = atol(argv[4]);
  const int iterations = atoi(argv[5]), warm_ups = atoi(argv[6]);
  const int is_dirty = strcmp(argv[7], "dirty") == 0;
  root = argc > 8 ? atoi(argv[8]) : 0;
  float *const a = buffer((size_t)most), *const b = buffer((size_t)most);
  double *const times = malloc(sizeof *times * (size_t)iterations);
  for (long bytes = least; bytes <= most; bytes *= factor) {
    const int part = (int)(bytes / 4 / ranks);
    const int count = in_parts() ? part * ranks : (int)(bytes / 4);
    if (count == 0) continue;
    double micros[2];
    const char *starts[2];
    int repeated = 0;
    for (int in_place = 0; in_place < 2; in_place++) {
      float *const out = in_place ? a : b;
      /* A rank's input: one part of what is gathered, nothing where the root alone gives. */
      const int gathers = kind == ALL_GATHER || kind == GATHER;
      const int gives = (kind != BROADCAST && kind != SCATTER) || rank == root;
      const int written = gathers ? part : gives ? count : 0;
      float *const first = gathers && in_place && (kind == ALL_GATHER || rank == root) ? a + rank * part : a;
      if (is_dirty) {
        for (int i = 0; i < warm_ups; i++) operate(a, out, count, part);
        micros[in_place] = dirty(a, out, count, part, first, written, iterations, times, &repeated);
      } else {
        micros[in_place] = clean(a, out, count, part, warm_ups, iterations);
      }
      starts[in_place] = is_dirty && is_common ? "common" : "barrier";
    }
    if (rank == 0) {
      printf("%ld %.3f %.3f %d %s %s\n", 4L * count, micros[0], micros[1], repeated, starts[0], starts[1]);
      fflush(stdout);
    }
  }
  MPI_Finalize();
  return 0;
}
