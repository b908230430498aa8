package dev.lockstep.device.cuda;

import dev.lockstep.graph.Value;
import java.util.List;

/// Causal attention and its gradient in the CPU's order of sums. Kernels are compiled for the size
/// of a head.
final class AttentionLowering {
  /// The largest head that kernels are written for.
  static final int MOST_HEAD_SIZE = 256;

  private static final int THREADS = 256;
  private static final int DELTA_THREADS = 128;
  private static final int DELTAS_PER_BLOCK = 8;

  private final Emission emit;
  private final List<Value> in;
  private final List<Value> out;
  private final AttentionCall call;

  AttentionLowering(Emission emit, List<Value> in, List<Value> out, AttentionCall call) {
    this.emit = emit;
    this.in = in;
    this.out = out;
    this.call = call;
  }

  private int forwardTile() {
    return call.size() <= 128 ? 64 : 32;
  }

  private int backwardTile() {
    return call.size() <= 64 ? 64 : call.size() <= 128 ? 32 : 16;
  }

  private LaunchBuilder launch(String file, String kernel, int tile) {
    List<String> defines = List.of("HEAD_SIZE=" + call.size(), "TILE=" + tile);
    return new LaunchBuilder(new Kernels.Source(file, defines), kernel);
  }

  /// Shared memory: `rows` tiles of padded heads and `squares` of scores.
  private int sharedBytes(int tile, int rows, int squares) {
    int padded = (call.size() + 15) / 16 * 16 + 4;
    return 4 * (rows * tile * padded + squares * tile * (tile + 4));
  }

  private StructBuilder struct(int queryBlocks) {
    return new StructBuilder()
        .words(call.batch(), call.queries())
        .words(call.keys(), call.firstQuery())
        .words(call.heads(), call.groups())
        .words(queryBlocks, 0)
        .wide(call.queryStride(), call.keyStride(), call.features())
        .real(call.scale());
  }

  /// Where part 0 (q), 1 (k) or 2 (v) begins, of values from `first` on.
  private Ref part(List<Value> values, int first, int part) {
    return call.packed()
        ? Emission.at(values.get(first)).plus(4L * part * call.features())
        : Emission.at(values.get(first + part));
  }

  void forward() {
    if (call.isEmpty() || call.queries() == 0) {
      return;
    }
    int tile = forwardTile();
    emit.add(
        launch("attention.cu", "attention_f32", tile)
            .at(part(in, 0, 0))
            .at(part(in, 0, 1))
            .at(part(in, 0, 2))
            .at(out.get(0))
            .at(out.get(1))
            .struct(struct(1))
            .grid(
                Math.ceilDiv(call.queries(), tile),
                call.heads(),
                call.batch(),
                THREADS,
                sharedBytes(tile, 2, 1)));
  }

  /// @param queryBlocks blocks in which sums over queries are made and joined
  void backward(int queryBlocks) {
    if (call.isEmpty()) {
      return;
    }
    Value logSumExp = in.getLast();
    Value forwardOut = in.get(in.size() - 2);
    long rows = (long) call.batch() * call.heads() * call.queries();
    Ref delta = emit.scratch(4 * Math.max(1, rows));
    int tile = backwardTile();
    if (rows > 0) {
      emit.add(
          launch("attention_grad.cu", "attention_delta_f32", tile)
              .at(in.getFirst())
              .at(forwardOut)
              .at(delta)
              .struct(struct(queryBlocks))
              .grid(Sizes.of(Math.ceilDiv(rows, DELTAS_PER_BLOCK)), DELTA_THREADS));
      emit.add(
          gradient("attention_dq_f32", tile, logSumExp, delta)
              .at(part(out, 0, 0))
              .struct(struct(queryBlocks))
              .grid(
                  Math.ceilDiv(call.queries(), tile),
                  call.heads(),
                  call.batch(),
                  THREADS,
                  sharedBytes(tile, 4, 1)));
    }
    if (call.keys() > 0) {
      keyGradients(queryBlocks, tile, logSumExp, delta);
    }
  }

  private LaunchBuilder gradient(String kernel, int tile, Value logSumExp, Ref delta) {
    return launch("attention_grad.cu", kernel, tile)
        .at(in.getFirst())
        .at(part(in, 1, 0))
        .at(part(in, 1, 1))
        .at(part(in, 1, 2))
        .at(logSumExp)
        .at(delta);
  }

  private void keyGradients(int queryBlocks, int tile, Value logSumExp, Ref delta) {
    boolean isWhole = queryBlocks == 1;
    int width = Sizes.of((long) call.groups() * call.size());
    long rows = (long) call.batch() * call.keys();
    Ref dk = isWhole ? part(out, 0, 1) : emit.scratch(4L * queryBlocks * rows * width);
    Ref dv = isWhole ? part(out, 0, 2) : emit.scratch(4L * queryBlocks * rows * width);
    emit.add(
        gradient("attention_dkv_f32", tile, logSumExp, delta)
            .at(dk)
            .at(dv)
            .struct(struct(queryBlocks))
            .wide(isWhole ? call.keyStride() : width)
            .wide(isWhole ? 0 : rows * width)
            .grid(
                Math.ceilDiv(call.keys(), tile),
                call.groups() * queryBlocks,
                call.batch(),
                THREADS,
                sharedBytes(tile, 4, 1)));
    if (!isWhole) {
      emit.join(dk, part(out, 0, 1), rows, width, call.keyStride(), queryBlocks);
      emit.join(dv, part(out, 0, 2), rows, width, call.keyStride(), queryBlocks);
    }
  }
}
