package dev.lockstep.train;

import dev.lockstep.graph.Blocks;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.checkpoint.TensorSource;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.placement.ModelPlace;
import dev.lockstep.train.placement.Placement;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Brings what the ranks hold of a state to rank 0, a piece of at most 1 MiB at a time: a rank
/// gives the elements of the piece that it holds, and rank 0 puts them where they belong in the
/// whole tensor. Every rank reads its own to the end; rank 0 alone gets elements.
///
/// Beside the state there are one piece to give on every rank, and on rank 0 one to get, one to
/// sort and what the collective stages, three pieces at most; they are allocated with the first
/// piece and freed after the last. Where one rank holds everything it reads that, and needs nobody.
final class StateGather implements TensorSource, AutoCloseable {
  private static final long PIECE_ELEMENTS = 1 << 18;
  private static final long ITEM = DType.F32.bytes();

  private final RankCompute compute;
  private final ModelState state;
  private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();
  private final Iterator<Map.Entry<String, TensorInfo>> names;
  private Exchange.@Nullable Prepared prepared;
  private List<Long> preparedFor = List.of();
  private Scope memory = new Scope();
  private boolean isOpen;
  private MemorySegment piece = MemorySegment.NULL;
  private MemorySegment sent = MemorySegment.NULL;
  private MemorySegment got = MemorySegment.NULL;
  private List<Tensor> buffers = List.of();
  private String tensor = "";
  private long done;
  private long elements;

  /// Starts at the first tensor.
  ///
  /// @param order the tensors to be gathered, in order
  StateGather(RankCompute compute, ModelState state, List<String> order) {
    this.compute = compute;
    this.state = state;
    for (String name : order) {
      tensors.put(name, new TensorInfo(DType.F32, state.parameter(name).shape()));
    }
    names = tensors.entrySet().iterator();
  }

  /// What a rank holds of a piece, side by side in its memory.
  private static final class Held {
    private long start = -1;
    private long elements;
    private long read; // of what rank 0 got from it
  }

  /// Receives where elements of a piece come from.
  private interface Source {
    /// Receives a run.
    ///
    /// @param rank rank of the job
    /// @param held first element in the rank's memory
    /// @param at first element in the piece
    void at(int rank, long held, long at, long elements);
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return tensors;
  }

  /// Whether elements are left.
  private boolean hasNext() {
    while (done == elements && names.hasNext()) {
      Map.Entry<String, TensorInfo> next = names.next();
      tensor = next.getKey();
      elements = next.getValue().shape().elements();
      done = 0;
    }
    return done < elements;
  }

  /// Takes part in what the others still read.
  void drain() {
    while (hasNext()) {
      var _ = next();
    }
    close();
  }

  @Override
  public MemorySegment next() {
    if (!hasNext()) {
      throw new IllegalStateException("all tensors are gathered: tensors=" + tensors.size());
    }
    long count = Math.min(PIECE_ELEMENTS, elements - done);
    open();
    MemorySegment result = state.isWhole() ? own(count) : gathered(count);
    done += count;
    return result;
  }

  private void open() {
    if (isOpen) {
      return;
    }
    isOpen = true;
    boolean isAlone = state.isWhole();
    if (compute.place().rank() == 0 || isAlone) {
      piece = compute.host(memory, "piece", PIECE_ELEMENTS * ITEM);
    }
    if (!isAlone) {
      Tensor given = flat("piece to give");
      sent = host(given);
      buffers = new ArrayList<>(List.of(given));
      if (compute.place().rank() == 0) {
        Tensor taken = flat("piece to get");
        got = host(taken);
        buffers.add(taken);
      }
    }
  }

  private Tensor flat(String name) {
    FlatLayout layout = FlatLayout.of(Map.of(name, Shape.of(PIECE_ELEMENTS)));
    return memory
        .own(FlatTensors.allocateShared(compute.device(), name, layout), FlatTensors::close)
        .get(name);
  }

  private MemorySegment host(Tensor tensor) {
    return compute.device().info().hostAddressable()
        ? tensor.segment()
        : compute.host(memory, "staging", tensor.bytes());
  }

  private static Tensor first(Tensor tensor, long elements) {
    return new Tensor(tensor.buffer(), tensor.offset(), DType.F32, Shape.of(elements));
  }

  private MemorySegment own(long count) {
    MemorySegment to = piece.asSlice(0, count * ITEM);
    compute.stream().copyOut(to, state.piece(tensor, done, count));
    return to;
  }

  private MemorySegment gathered(long count) {
    int ranks = compute.place().ranks();
    List<Held> held = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      held.add(new Held());
    }
    sources(
        count,
        (rank, start, _, length) -> {
          Held each = held.get(rank);
          each.start = each.start < 0 ? start : each.start;
          each.elements += length;
        });
    int rank = compute.place().rank();
    Held mine = held.get(rank);
    if (mine.elements > 0) {
      MemorySegment from = sent.asSlice(0, mine.elements * ITEM);
      compute.stream().copyOut(from, state.vector(mine.start, mine.elements));
      if (!compute.device().info().hostAddressable()) {
        compute.stream().copyIn(first(buffers.getFirst(), mine.elements), from);
      }
      compute.stream().synchronize();
    }
    collective(held.stream().map(each -> each.elements).toList()).run();
    return rank == 0 ? sorted(count, held) : MemorySegment.NULL;
  }

  /// Puts what rank 0 got, rank after rank, into the order of the whole tensor.
  private MemorySegment sorted(long count, List<Held> held) {
    if (!compute.device().info().hostAddressable()) {
      compute.stream().copyOut(got, buffers.getLast());
    }
    long start = 0;
    for (Held each : held) {
      each.read = start;
      start += each.elements;
    }
    sources(
        count,
        (rank, _, at, length) -> {
          Held each = held.get(rank);
          MemorySegment.copy(got, each.read * ITEM, piece, at * ITEM, length * ITEM);
          each.read += length;
        });
    return piece.asSlice(0, count * ITEM);
  }

  /// Prepared anew where a piece is shared out otherwise than the one before: a few times a tensor.
  private Exchange.Prepared collective(List<Long> counts) {
    Exchange.Prepared ready = prepared;
    if (ready != null && counts.equals(preparedFor)) {
      return ready;
    }
    if (ready != null) {
      ready.close();
    }
    int rank = compute.place().rank();
    long total = counts.stream().mapToLong(Long::longValue).sum();
    Tensor in = first(buffers.getFirst(), counts.get(rank));
    Tensor out = rank == 0 ? first(buffers.getLast(), total) : null;
    Exchange.Prepared made = compute.exchange().gather(counts, in, out);
    prepared = made;
    preparedFor = counts;
    return made;
  }

  /// Visits where the next elements come from, in order.
  private void sources(long count, Source source) {
    Placement placement = state.placement(tensor);
    if (!(placement instanceof Placement.Shard(int dim, Blocks blocks))) {
      shards(0, done, count, 0, source);
      return;
    }
    Shape shape = state.parameter(tensor).shape();
    int ranks = compute.grid().model().of(state.parameter(tensor)).ranks();
    long after = 1;
    for (int i = dim + 1; i < shape.rank(); i++) {
      after *= shape.dim(i);
    }
    long length = shape.dim(dim) / blocks.outer() / ranks * after;
    for (long at = 0; at < count; ) {
      long run = (done + at) / length;
      long within = (done + at) % length;
      long part = Math.min(count - at, length - within);
      shards((int) (run % ranks), run / ranks * length + within, part, at, source);
      at += part;
    }
  }

  /// Visits which ranks of the data axis hold a run of a part of the tensor, on the first place and
  /// the first stage that hold it.
  private void shards(int part, long start, long count, long at, Source source) {
    long from = state.start(tensor) + start;
    int stage = state.stage(tensor);
    ModelPlace holder = compute.grid().model().holder(state.parameter(tensor), part);
    for (int data = 0; data < state.holders(); data++) {
      int rank = compute.place().rankAt(data, holder, stage);
      state
          .ranges(stage)
          .parts(
              data,
              from,
              count,
              (held, first, length) -> source.at(rank, held, at + first - from, length));
    }
  }

  /// Frees the memory; idempotent.
  @Override
  public void close() {
    Scope closing = memory;
    memory = new Scope();
    isOpen = false;
    if (prepared != null) {
      closing.own(prepared, Exchange.Prepared::close);
      prepared = null;
    }
    closing.close();
  }
}
