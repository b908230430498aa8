package dev.lockstep.device.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/// How the device compiles its kernels of attention by tensor cores, for tests of other packages.
public final class AttentionSources {
  private AttentionSources() {}

  /// A file and its preprocessor definitions.
  public record Source(String file, List<String> defines) {}

  /// Returns the kernels of a size of head, for operands of bfloat16 and of float32.
  public static List<Source> of(int headSize) {
    List<Source> sources = new ArrayList<>();
    for (boolean isNarrow : List.of(true, false)) {
      int terms = isNarrow ? 1 : 3;
      var all = new TensorAttention.Terms(terms, terms, terms);
      Stream.of(
              TensorAttention.forward(headSize, all),
              TensorAttention.queryGradient(headSize, all),
              TensorAttention.keyGradient(headSize, all))
          .map(kernel -> kernel.source(isNarrow))
          .forEach(source -> sources.add(new Source(source.file(), source.defines())));
    }
    return sources;
  }
}
