package dev.lockstep.collective.execute;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;

/// Joins three or more sources by a tree in one pass: block by block, with partial results in a few
/// registers of one block each that stay in the first-level cache. The result's block is written
/// last, so it may lie where a source lies; from there it is copied to further results. Owns its
/// registers.
final class TreeJoin extends Action {
  /// Four registers of this size and three blocks of sources fit the smallest usual first-level
  /// cache, 32 KiB.
  private static final int BLOCK_BYTES = 4096;

  private static final int RESULT = -1;

  private final Writes.Permission permission;
  private final ReduceOp op;
  private final DType dtype;
  private final MemorySegment to;
  private final MemorySegment[] more;
  private final List<int[]> joins = new ArrayList<>();
  private final MemorySegment[] sources;
  private final int[] code; // result, left, right; sources first, then registers
  private final Buffer registers;
  private final MemorySegment registerMemory;
  private int registersUsed;

  TreeJoin(
      int peer,
      Writes.Permission permission,
      ReduceOp op,
      DType dtype,
      MemorySegment to,
      MemorySegment[] more,
      JoinTree.Node tree,
      Function<Range, MemorySegment> memory,
      MemoryPool pool) {
    super(peer);
    this.permission = permission;
    this.op = op;
    this.dtype = dtype;
    this.to = to;
    this.more = more;
    List<MemorySegment> collected = new ArrayList<>();
    tree.forEachSource(range -> collected.add(memory.apply(range)));
    this.sources = collected.toArray(MemorySegment[]::new);
    plan(tree, new int[1], 0, true);
    this.code = joins.stream().flatMapToInt(Arrays::stream).toArray();
    this.registers =
        HostMemory.allocate(pool, "collective registers", (long) registersUsed * BLOCK_BYTES);
    this.registerMemory = registers.segment();
  }

  /// Plans a subtree whose result goes to register `free`, and returns where its value is.
  private int plan(JoinTree tree, int[] nextSource, int free, boolean outermost) {
    return switch (tree) {
      case JoinTree.Leaf _ -> nextSource[0]++;
      case JoinTree.Node(JoinTree left, JoinTree right) -> {
        int a = plan(left, nextSource, free, false);
        int b = plan(right, nextSource, a >= sources.length ? free + 1 : free, false);
        int result = outermost ? RESULT : sources.length + free;
        registersUsed = Math.max(registersUsed, outermost ? 0 : free + 1);
        joins.add(new int[] {result, a, b});
        yield result;
      }
    };
  }

  @Override
  boolean run(long operation) {
    long bytes = to.byteSize();
    for (long block = 0; block < bytes; block += BLOCK_BYTES) {
      permission.check();
      long elements = Math.min(BLOCK_BYTES, bytes - block) / dtype.bytes();
      for (int i = 0; i < code.length; i += 3) {
        int result = code[i];
        Reducer.join(
            op,
            dtype,
            result == RESULT ? to : registerMemory,
            result == RESULT ? block : offset(result, block),
            memory(code[i + 1]),
            offset(code[i + 1], block),
            memory(code[i + 2]),
            offset(code[i + 2], block),
            elements);
      }
      for (MemorySegment result : more) {
        MemorySegment.copy(to, block, result, block, elements * dtype.bytes());
      }
    }
    return true;
  }

  private MemorySegment memory(int operand) {
    return operand < sources.length ? sources[operand] : registerMemory;
  }

  private long offset(int operand, long block) {
    return operand < sources.length ? block : (long) (operand - sources.length) * BLOCK_BYTES;
  }

  @Override
  void close() {
    registers.close();
  }
}
