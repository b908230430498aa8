package dev.lockstep.collective;

import dev.lockstep.collective.Preparation.Part;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.plan.AgreedStart;
import dev.lockstep.collective.plan.LinkMeter;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.transport.CurrentCore;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/// Measures the links of a communicator that was made for this alone. Every rank writes its input
/// before each run, as training does; the slowest rank's time counts, and of several runs one of
/// the fastest: what slows down the others, a compiler of this process or another process, is not
/// the links.
final class LinkProbe implements LinkMeter, AutoCloseable {
  /// Largest buffer: with two ranks larger than the caches of most processors.
  private static final long MOST_BYTES = 16L << 20;

  /// The part of a job's memory that may be taken meanwhile.
  private static final long MEMORY_PART = 8;

  private static final int MOST_RUNS = 48;
  private static final int LEAST_RUNS = 2;
  private static final long NANOS_PER_RUN = TimeUnit.MILLISECONDS.toNanos(1);

  /// One run in so many is faster than what counts.
  private static final int FAST_PART = 8;

  /// Rounds that must not have become faster: while compilers take the cores a round is long.
  private static final int STABLE_ROUNDS = 8;

  /// Nothing is measured again after so many times what the warm-up may take.
  private static final int PATIENCE = 2;

  /// As [#PATIENCE], of everything once more, and of what is doubted.
  private static final int MOST_PATIENCE = 4;

  private static final Duration LEAST_TIMEOUT = Duration.ofMinutes(1);

  /// The time of a run that a rank has begun late.
  private static final double LATE = Double.POSITIVE_INFINITY;

  /// How long the time of a round must not have fallen.
  private static final long STABLE_NANOS = TimeUnit.MILLISECONDS.toNanos(30);

  private static final double FELL = 0.9;

  /// After each round compilers have the cores for as long as it took, at most this long: ranks
  /// that share theirs with them wait for each other far longer than they run.
  private static final long MOST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(10);

  /// The second compiler takes what has run some thousand times.
  private static final int EXERCISES = 3_000;

  /// Most exercises between two looks at the time, each of which is an all-reduce itself. The first
  /// round is one, the next ones double: where ranks share cores one may take milliseconds.
  private static final int IN_ROUND = 50;

  /// They go on until they have taken this part of a warm-up.
  private static final int EXERCISE_PART = 3;

  /// A few turns of Linux's scheduler.
  private static final long REST_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

  private final Core core;
  private final long mostBytes;
  private final Duration warmUp;
  private final long madeAt = System.nanoTime();
  private final Buffer input;
  private final Buffer output;
  private final Buffer numbers;
  private final Prepared barrier;
  private final Prepared slowest;
  private final Prepared greatest;
  private final AgreedStart start;
  private final OwnCore ownCore = new OwnCore();
  private boolean placed;
  private final IdentityHashMap<Schedule, Prepared> all = new IdentityHashMap<>();

  private LinkProbe(Core core, long mostBytes, Duration warmUp, List<Buffer> buffers) {
    this.core = core;
    this.mostBytes = mostBytes;
    this.warmUp = warmUp;
    this.input = buffers.get(0);
    this.output = buffers.get(1);
    this.numbers = buffers.get(2);
    CollectiveRequest together = CollectiveRequest.barrier(core.topology());
    Tensor times = new Tensor(numbers, 0, DType.F64, Shape.of(mostNumbers(core)));
    Tensor time = new Tensor(numbers, 0, DType.I64, Shape.of(1));
    List<Prepared> own =
        prepared(
            List.of(
                new Part(schedule(together), OptionalDouble.empty(), List.of(), null),
                greatest(core, times),
                greatest(core, time)));
    this.barrier = own.get(0);
    this.slowest = own.get(1);
    this.greatest = own.get(2);
    this.start = new AgreedStart(barrier::run, this::greatest, mayHaveACore(core));
  }

  /// One for each run, or for each rank.
  private static int mostNumbers(Core core) {
    return Math.max(MOST_RUNS, core.topology().ranks());
  }

  private static boolean mayHaveACore(Core core) {
    Members members = core.endpoint().members();
    return members.isOneHost(core.job().hosts()) && core.job().mayHaveProcessor(members.size());
  }

  private long greatest(long mine) {
    numbers.segment().set(ValueLayout.JAVA_LONG, 0, mine);
    greatest.run();
    return numbers.segment().get(ValueLayout.JAVA_LONG, 0);
  }

  private static Part greatest(Core core, Tensor numbers) {
    Topology topology = core.topology();
    CollectiveRequest request =
        CollectiveRequest.allReduce(
            numbers.dtype(),
            new ReduceOp.Max(),
            numbers.shape().elements(),
            true,
            topology,
            LaneSplit.onePerRank(topology.ranks()),
            Mode.SAME_BITS);
    return new Part(schedule(request), OptionalDouble.empty(), List.of(numbers), numbers);
  }

  /// Returns a schedule that does what is asked, whichever is fastest: to find that out takes
  /// longer in a virtual machine that has just started than all of its runs.
  private static Schedule schedule(CollectiveRequest request) {
    Algorithm algorithm =
        Algorithms.brief(request, false).orElseGet(() -> Algorithms.applicable(request).getFirst());
    return algorithm.schedule(request);
  }

  /// What a failure leaves open is closed with the communicator.
  private List<Prepared> prepared(List<Part> parts) {
    List<Prepared> made = core.preparation().prepare(parts, timeout());
    made.forEach(core::keep);
    return made;
  }

  /// Makes the probe; all ranks together.
  ///
  /// @param core borrowed
  /// @param warmUp how long ranks may take to warm up, each time
  static LinkProbe of(Core core, Duration warmUp) {
    long mostBytes = mostBytes(core);
    List<Buffer> buffers = new ArrayList<>();
    try {
      for (long bytes :
          new long[] {mostBytes, mostBytes, mostNumbers(core) * (long) Double.BYTES}) {
        buffers.add(
            HostMemory.allocateShared(
                core.job().memory(), "fit of links", bytes, core.job().directory()));
      }
      return new LinkProbe(core, mostBytes, warmUp, buffers);
    } catch (RuntimeException | Error failure) {
      buffers.forEach(Buffer::close);
      throw failure;
    }
  }

  /// What every rank can spare.
  private static long mostBytes(Core core) {
    MemoryPool pool = core.job().memory();
    long mine = Math.min(MOST_BYTES, (pool.limitBytes() - pool.usedBytes()) / MEMORY_PART);
    return core
        .agreement()
        .exchange("links/bytes", Long.toString(mine), core.options().timeout())
        .stream()
        .mapToLong(Long::parseLong)
        .map(bytes -> Math.max(bytes, 1 << 16))
        .min()
        .orElseThrow();
  }

  long mostBytes() {
    return mostBytes;
  }

  private Duration timeout() {
    return timeout(core.options());
  }

  /// Returns how long measuring may take: the user's deadline is for collectives of the user's
  /// sizes.
  static Duration timeout(CommunicatorOptions options) {
    Duration users = options.timeout();
    return users.compareTo(LEAST_TIMEOUT) < 0 ? LEAST_TIMEOUT : users;
  }

  /// By the very code that times them: around what takes a fifth of a microsecond, a loop that has
  /// not been compiled takes longer than that.
  @Override
  public void warmUp(List<Schedule> schedules) {
    List<Run> runs = runs(schedules);
    place();
    double best = Double.POSITIVE_INFINITY;
    double total = 0;
    double since = 0;
    int rounds = 0;
    while (total < warmUp.toNanos() && (since < STABLE_NANOS || rounds < STABLE_ROUNDS)) {
      double nanos = round(runs, 1);
      total += nanos;
      since += nanos;
      rounds++;
      if (nanos < FELL * best) {
        best = nanos;
        since = 0;
        rounds = 0;
      }
    }
  }

  @Override
  public void exercise(List<Schedule> schedules) {
    List<Run> runs = runs(schedules);
    double total = 0;
    int done = 0;
    int times = 1;
    while (done < EXERCISES && total * EXERCISE_PART < warmUp.toNanos()) {
      total += round(runs, times);
      done += times;
      times = Math.min(2 * times, IN_ROUND);
    }
  }

  /// Runs everything so many times, then leaves the core to compilers.
  ///
  /// @return how long the slowest rank has run, in nanoseconds
  private double round(List<Run> runs, int times) {
    long begin = System.nanoTime();
    for (int i = 0; i < times; i++) {
      runs.forEach(this::nanos);
    }
    double nanos = slowest(new double[] {System.nanoTime() - begin})[0];
    LockSupport.parkNanos((long) (pausePart() * Math.min(nanos, (double) MOST_PAUSE_NANOS)));
    return nanos;
  }

  /// Returns what part of a pause this rank takes: no two come back at once.
  private double pausePart() {
    return (core.endpoint().rank() + 1.0) / core.topology().ranks();
  }

  @Override
  public boolean eachHasACore() {
    return start.eachHasACore();
  }

  @Override
  public boolean hasTime() {
    return isYounger(PATIENCE);
  }

  @Override
  public boolean hasPatience() {
    return isYounger(MOST_PATIENCE);
  }

  /// Returns whether the probe has been there for less than so many times what the warm-up may
  /// take, alike on all ranks.
  private boolean isYounger(long times) {
    double elapsed = slowest(new double[] {System.nanoTime() - madeAt})[0];
    return elapsed < (double) (times * warmUp.toNanos());
  }

  private Part part(Schedule schedule) {
    CollectiveRequest request = schedule.request();
    int rank = core.endpoint().rank();
    boolean inPlace = request.inPlace();
    List<Tensor> inputs =
        request.inputs(rank) == 0
            ? List.of()
            : List.of(
                tensor(input, inPlace ? request.inputStart(rank) : 0, request.inputElements(rank)));
    Tensor out =
        request.outputElements(rank) == 0
            ? null
            : tensor(
                inPlace ? input : output,
                inPlace ? request.outputStart(rank) : 0,
                request.outputElements(rank));
    return new Part(schedule, OptionalDouble.empty(), inputs, out);
  }

  private static Tensor tensor(Buffer buffer, long start, long elements) {
    return new Tensor(buffer, start * DType.F32.bytes(), DType.F32, Shape.of(elements));
  }

  @Override
  public double[] nanos(List<Schedule> schedules) {
    return fast(runs(schedules));
  }

  private List<Run> runs(List<Schedule> schedules) {
    List<Schedule> missing = schedules.stream().filter(it -> !all.containsKey(it)).toList();
    if (!missing.isEmpty()) {
      List<Prepared> made =
          ownCore.whileFree(() -> prepared(missing.stream().map(this::part).toList()));
      for (int i = 0; i < made.size(); i++) {
        all.put(missing.get(i), made.get(i));
      }
    }
    List<Run> runs = new ArrayList<>();
    for (Schedule schedule : schedules) {
      Prepared prepared = Objects.requireNonNull(all.get(schedule));
      runs.add(new Run(written(schedule.request()), prepared::run));
    }
    return runs;
  }

  /// Returns what a rank brings, written before every run.
  private MemorySegment written(CollectiveRequest request) {
    int rank = core.endpoint().rank();
    if (request.inputs(rank) == 0) {
      return MemorySegment.NULL;
    }
    long start = request.inPlace() ? request.inputStart(rank) : 0;
    return input
        .segment()
        .asSlice(start * DType.F32.bytes(), request.inputElements(rank) * DType.F32.bytes());
  }

  @Override
  public double copyNanos(long bytes) {
    Runnable copy = () -> MemorySegment.copy(input.segment(), 0, output.segment(), 0, bytes);
    return fast(List.of(new Run(input.segment().asSlice(0, bytes), copy)))[0];
  }

  /// What is timed.
  ///
  /// @param written every rank's input, written before
  private record Run(MemorySegment written, Runnable operation) {}

  /// Returns the time of one run, [#LATE] if this rank has begun it late.
  private double nanos(Run run) {
    run.written().fill((byte) 1);
    boolean isTimely = start.await();
    long begin = System.nanoTime();
    run.operation().run();
    long nanos = System.nanoTime() - begin;
    return isTimely ? nanos : LATE;
  }

  /// As [#inTurn]; what ranks have timed that came to lie on one core meanwhile is timed again.
  private double[] fast(List<Run> runs) {
    return CoreMates.apart(() -> inTurn(runs), this::meet, this::rest);
  }

  /// Returns whether ranks of which each can have a core are on the same one; alike on all.
  private boolean meet() {
    return start.eachHasACore() && CoreMates.meet(cores());
  }

  /// Returns on which core each rank is, from 1; 0 where the system does not say.
  private double[] cores() {
    double[] cores = new double[core.topology().ranks()];
    cores[core.endpoint().rank()] = CurrentCore.number() - CurrentCore.UNKNOWN;
    return slowest(cores);
  }

  /// Keeps each rank on a core of its own until this is closed, if each can have one; all ranks
  /// together. Where the scheduler puts them once they have rested is better than any other place:
  /// it knows which cores are threads of one.
  private void place() {
    if (placed || !start.eachHasACore()) {
      return;
    }
    placed = true;
    if (meet()) {
      rest();
    }
    int[] on = Arrays.stream(cores()).mapToInt(it -> (int) it + CurrentCore.UNKNOWN).toArray();
    byte[] mine = ownCore.allowed().toByteArray();
    List<byte[]> told = core.agreement().exchange("links/cores", mine, timeout());
    List<Integer> places = OwnCore.places(on, told.stream().map(BitSet::valueOf).toList());
    if (!places.isEmpty()) {
      ownCore.keep(places.get(core.endpoint().rank()));
    }
  }

  /// Leaves the core, each rank for another time: who wakes while another one computes is put on
  /// another core.
  private void rest() {
    LockSupport.parkNanos((long) (pausePart() * REST_NANOS));
  }

  /// Returns the time of each: of its runs, taken in turn with the others', one of the fastest.
  private double[] inTurn(List<Run> runs) {
    long begin = System.nanoTime();
    double[] first = runs.stream().mapToDouble(this::nanos).toArray();
    double once = slowest(new double[] {System.nanoTime() - begin})[0];
    int number = (int) Math.clamp(NANOS_PER_RUN * runs.size() / once, LEAST_RUNS, MOST_RUNS);
    double[][] times = new double[runs.size()][number];
    for (int i = 0; i < number; i++) {
      for (int which = 0; which < times.length; which++) {
        times[which][i] = i == 0 ? first[which] : nanos(runs.get(which));
      }
    }
    double[] fast = new double[times.length];
    for (int which = 0; which < times.length; which++) {
      double[] all = slowest(times[which]);
      Arrays.sort(all);
      fast[which] = all[number / FAST_PART];
    }
    if (start.agrees() && Arrays.stream(fast).anyMatch(nanos -> nanos == LATE)) {
      start.giveUp();
      return inTurn(runs);
    }
    return fast;
  }

  /// Returns the greatest of every rank's numbers, place by place.
  private double[] slowest(double[] mine) {
    MemorySegment segment = numbers.segment();
    segment.fill((byte) 0);
    MemorySegment.copy(mine, 0, segment, ValueLayout.JAVA_DOUBLE, 0, mine.length);
    slowest.run();
    double[] all = new double[mine.length];
    MemorySegment.copy(segment, ValueLayout.JAVA_DOUBLE, 0, all, 0, all.length);
    return all;
  }

  @Override
  public void close() {
    try (ownCore;
        input;
        output;
        numbers;
        barrier;
        slowest;
        greatest) {
      all.values().forEach(Prepared::close);
    }
  }
}
